"""Writing files of interactions as a test has them, and what was read of one."""

from __future__ import annotations

import gzip
from pathlib import Path

from lerg_edge.data.interactions import Interactions

Pairs = dict[tuple[object, object], int]


def write_text(path: Path, text: str) -> Path:
    content = text.encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def pairs_of(interactions: Interactions) -> Pairs:
    users = interactions.user_ids.values[interactions.users].tolist()
    items = interactions.item_ids.values[interactions.items].tolist()
    times = [0] * len(users) if interactions.timestamps is None else interactions.timestamps.tolist()
    return dict(zip(zip(users, items, strict=True), times, strict=True))
