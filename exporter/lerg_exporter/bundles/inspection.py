"""What a bundle is made of, as one JSON object. Neither torch nor executorch is needed."""

from __future__ import annotations

import os
from typing import Any

from lerg_exporter.bundles.anatomy import bundle_parts
from lerg_runtime.bundle import BundleFolder, State, Trust
from lerg_runtime.bundle.parts import open_regular, reading
from lerg_runtime.planning import MemoryPlan, Workload, plan_memory, plan_personal

__all__ = ["inspect_bundle"]

_COPIED = ("lowering", "propagation", "model", "metrics", "macs", "training", "finetune")
_FOR_PEOPLE = ("data", "titles", "features", "intervals")


def inspect_bundle(path: str | os.PathLike[str], *, trust: Trust | None = None) -> dict[str, Any]:
    """Sizes, programs, operators, planned memory, versions and metrics of a bundle.

    `memory` is what each phase takes on a device, in bytes, by `lerg_runtime.planning`.

    Every file is hashed on the way.  `parts` cuts each file into named parts that add up to it.
    `storage.bundle_bytes` counts the files as they are now, the state that fine-tuning on a device changes
    included.

    Args:
        path: the bundle's folder.
        trust: as `BundleFolder.open` takes it.

    Raises:
        lerg_runtime.errors.InputError: no such folder.
        lerg_runtime.errors.BundleError: not a bundle, damaged, or of a newer version.
    """
    folder = BundleFolder.open(path, trust=trust)
    document = folder.contents.document
    state = folder.read_state()
    files = folder.file_sizes()
    contents = {name: _content(folder, name) for name in files}
    with reading(folder.path):
        parts = bundle_parts(contents, constants=_constants(document["storage"]))
    return {
        "format": {"name": document["format"], "version": document["version"]},
        "identity": f"sha256:{folder.digest.hex()}",
        "versions": {**document["created_with"], "requires": document["requires"]},
        "files": files,
        "parts": parts,
        "storage": {**document["storage"], "bundle_bytes": sum(files.values())},
        "memory": {phase.name: phase.total_bytes for phase in _plan(folder, state).phases},
        "form": "personal" if folder.is_personal else "shared",
        "state": {
            "generation": state.generation,
            "local_interactions": len(state.users),
            "history": len(state.history),
            "added_items": 0 if state.added is None else len(state.added),
        },
        "programs": document["methods"],
        **{name: document[name] for name in _COPIED if name in document},
        **{name: document[name] for name in _FOR_PEOPLE if name in document},
    }


def _plan(folder: BundleFolder, state: State) -> MemoryPlan:
    """What the bundle as it is now takes on a device."""
    if folder.is_personal:
        learned = len(state.exported_step) > 0
        return plan_personal(folder.personal, sizes=folder.item_sizes(state), learned=learned)
    return plan_memory(
        folder.manifest,
        folder.stored_sizes(state),
        local=len(state.users),
        disliked=len(state.disliked_users),
        remainder=len(state.remainder) > 0,
        workload=Workload.usual(folder.manifest),
    )


def _content(folder: BundleFolder, name: str) -> bytes:
    handle, _ = open_regular(folder.path, name)
    with os.fdopen(handle, "rb") as stream:
        return stream.read()


def _constants(storage: dict[str, Any]) -> dict[str, int]:
    """What the manifest says of the tensors in `model.pte`; nothing if it says nothing of use."""
    stated = storage.get("constants")
    if not isinstance(stated, dict) or not all(type(size) is int for size in stated.values()):
        return {}
    return stated
