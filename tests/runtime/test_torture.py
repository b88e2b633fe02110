"""A short round of what `make torture` does at length."""

from __future__ import annotations

from pathlib import Path

from torture import preloaded


def test_kills_failing_disks_and_damage_lose_nothing(tmp_path: Path) -> None:
    words = ("--kills", "60", "--faults", "48", "--flips", "140", "--truncations", "28")
    told = preloaded(tmp_path, list(words))
    for way in ("save", "copy", "replace"):
        assert told[f"{way} killed"] > 0, told
        assert told[f"{way} refused"] > 0, told
    assert sum(count for name, count in told.items() if "flips" in name) == 140
    assert sum(count for name, count in told.items() if "truncations" in name) == 28
