"""A memory plan: phases, the items of each, and the workload that they are for."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_runtime.bundle._manifest import Manifest

__all__ = ["MemoryPlan", "Phase", "PlanItem", "Workload"]


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One thing that takes memory."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Phase:
    """All that is in memory at the same time during one kind of work."""

    name: str
    items: tuple[PlanItem, ...]

    @property
    def total_bytes(self) -> int:
        """Sum of the items."""
        return sum(item.size_bytes for item in self.items)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What opening, encoding, recommending and fine-tuning need.

    Attributes:
        phases: `open`, `encode`, `recommend`, `finetune`, and before that `dislike` where pairs that are
            rated low come or go; one is in progress at a time.
        resident: in memory as long as the bundle is open; every phase has them.
        lane_bytes: what each further thread takes that asks at the same time.
    """

    phases: tuple[Phase, ...]
    resident: tuple[PlanItem, ...]
    lane_bytes: int

    def phase(self, name: str) -> Phase:
        """One phase by name; raises KeyError if there is none."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)

    @property
    def peak_bytes(self) -> int:
        """The most that any phase needs."""
        return max(phase.total_bytes for phase in self.phases)


@dataclass(frozen=True, slots=True)
class Workload:
    """What the size of some items depends on.

    Attributes:
        users_at_once: users ranked by one call of the program.
        lanes: threads that ask at the same time.
        batch: triples in one step of fine-tuning.
        optimiser: `adam` or `sgd`.
        momentum: SGD keeps a velocity.
        new_interactions: given to fine-tuning.
        repeated: of them, known before.
        given_disliked: pairs given to it that are rated low.
        new_disliked: of them, not known to be before.
        liked_again: pairs given to it that were rated low before.
        replayed: earlier interactions that an epoch goes over again; None for all.
        negative_candidates: items drawn for each negative; more than one needs tables to rank them by.
    """

    users_at_once: int
    batch: int
    optimiser: str = "adam"
    momentum: bool = True
    new_interactions: int = 0
    repeated: int = 0
    given_disliked: int = 0
    new_disliked: int = 0
    liked_again: int = 0
    replayed: int | None = None
    negative_candidates: int = 1
    lanes: int = 1

    @classmethod
    def usual(cls, manifest: Manifest) -> Workload:
        """What a bundle does unless it is told otherwise."""
        defaults = manifest.finetune
        return cls(
            users_at_once=manifest.model.max_users,
            batch=defaults.batch,
            momentum=defaults.momentum > 0,
            negative_candidates=defaults.negative_candidates,
        )
