"""`python -m racing.bundles FOLDER`: bundles of all kinds to race on, which takes the exporter."""

from __future__ import annotations

import sys
from pathlib import Path

KINDS: dict[str, dict[str, object]] = {
    "native": {},
    "folded": {"propagation": "folded"},
    "int8": {"item_table": "int8"},
    "portable": {"lowering": "portable"},
}


def main(folder: Path) -> None:
    """Make those that are not there."""
    from lerg_exporter import build_bundle

    for kind, options in KINDS.items():
        if not (folder / kind).exists():
            folder.mkdir(parents=True, exist_ok=True)
            build_bundle(folder / kind, finetune_epochs=1, **options)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
