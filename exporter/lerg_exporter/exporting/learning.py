"""How a device learns from what happens on it, as a bundle's manifest says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lerg_exporter.exporting.options import ExportOptions

__all__ = ["USUAL_REPLAY", "Learning", "given_learning"]

USUAL_REPLAY = 4.0


@dataclass(frozen=True, slots=True)
class Learning:
    """What a device does where its caller says nothing.

    Attributes:
        replay: earlier interactions that fine-tuning goes over again for each new one.
        local_counts: weight by which items are raised for how often they were touched on the device.
        validation: what each candidate gave, or why none was tried; for people.
    """

    replay: float = USUAL_REPLAY
    local_counts: float = 0.0
    validation: Mapping[str, Any] = field(default_factory=dict)


def given_learning(options: ExportOptions) -> Learning:
    """What the options say; the usual where they leave it to validation."""
    replay = USUAL_REPLAY if options.replay is None else options.replay
    return Learning(replay, options.local_counts or 0.0)
