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
        validation: what each candidate gave, or why none was tried; for people.
    """

    replay: float = USUAL_REPLAY
    validation: Mapping[str, Any] = field(default_factory=dict)


def given_learning(options: ExportOptions) -> Learning:
    """What the options say; the usual where they leave it to validation."""
    return Learning(USUAL_REPLAY if options.replay is None else options.replay)
