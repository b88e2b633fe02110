"""What a bundle is made of, as one JSON object. Neither torch nor executorch is needed."""

from __future__ import annotations

import os
from typing import Any

from lerg_exporter.anatomy import bundle_parts
from lerg_runtime.bundle import BundleFolder

__all__ = ["inspect_bundle"]

_COPIED = ("lowering", "propagation", "model", "programs", "metrics", "macs", "training", "finetune")


def inspect_bundle(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Sizes, programs, operators, planned memory, versions and metrics of a bundle.

    Every file is hashed on the way.  `parts` cuts each file into named parts that add up to it.
    `storage.bundle_bytes` counts the files as they are now, the state that fine-tuning on a device changes
    included.

    Raises:
        lerg_runtime.errors.InputError: no such folder.
        lerg_runtime.errors.BundleError: not a bundle, damaged, or of a newer version.
    """
    folder = BundleFolder.open(path)
    document = folder.manifest.document
    state = folder.read_state()
    files = folder.file_sizes()
    contents = {name: (folder.path / name).read_bytes() for name in files}
    return {
        "format": {"name": document["format"], "version": document["version"]},
        "versions": {**document["created_with"], "requires": document["requires"]},
        "files": files,
        "parts": bundle_parts(contents, constants=_constants(document["storage"])),
        "storage": {**document["storage"], "bundle_bytes": sum(files.values())},
        "state": {"generation": state.generation, "local_interactions": len(state.users)},
        **{name: document[name] for name in _COPIED},
    }


def _constants(storage: dict[str, Any]) -> dict[str, int]:
    """What the manifest says of the tensors in `model.pte`; nothing if it says nothing of use."""
    stated = storage.get("constants")
    if not isinstance(stated, dict) or not all(type(size) is int for size in stated.values()):
        return {}
    return stated
