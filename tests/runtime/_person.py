"""Personal bundles with traced programs, and the answers that they must give, worked out in float64."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from traced import traced

from lerg_edge.data.interactions import IdMap
from lerg_edge.histories.rule import HistoryRule, ridge_metric
from lerg_edge.personal.coding import Coding, code_items
from lerg_edge.personal.model import PersonalModel
from lerg_edge.personal.sheltering import degree_codes
from lerg_exporter.bundles.personal import draft_personal, write_personal
from lerg_exporter.programs.limits import ProgramLimits

OWN, SHARED, PLACEHOLDERS, DIM = 55, 25, 5, 16
ITEMS = OWN + SHARED
MAX_HISTORY, MAX_K = 12, 8

CODINGS = {
    "rows": Coding("rows", 8),
    "rows of 4 bits": Coding("rows", 4),
    "product": Coding("product", 8, 4, 32),
    "folded": Coding("folded", 8, 4, 32),
}


@dataclass(frozen=True, slots=True, eq=False)
class PersonBundle:
    """A bundle and the model that is in it."""

    folder: Path
    model: PersonalModel
    ids: list[str]

    def wanted(self, history: list[int], *, barred: list[int], k: int) -> tuple[list[str], np.ndarray]:
        """The ranking by a history, the oldest first: weights, metric and products as the pages say."""
        rule, degrees = self.model.rule, self.model.degrees()[history]
        rows = self.model.item_rows().astype(np.float64)
        weights = 1 / np.sqrt((degrees + 1) * len(history))
        if rule.half_life is not None:
            weights *= 2.0 ** (-np.arange(len(history) - 1, -1, -1) / rule.half_life)
        scores = rows @ (ridge_metric(rows, rule.ridge) @ (weights @ rows[history]))
        scores[barred] = -np.inf
        best = np.lexsort((np.arange(ITEMS), -scores))[:k]
        best = best[scores[best] > -np.inf]
        return [self.ids[item] for item in best], scores[best]


def person_model(
    coding: Coding, *, ridge: float | None = 3.0, half_life: float | None = 10.0
) -> PersonalModel:
    """Eighty items, 25 of which share five rows."""
    rng = np.random.default_rng(4)
    rows = (rng.normal(size=(OWN + PLACEHOLDERS, DIM)) * np.linspace(0.2, 2, DIM)).astype(np.float32)
    slots = np.arange(ITEMS, dtype=np.int32)
    slots[OWN:] = OWN + np.arange(SHARED) % PLACEHOLDERS
    slots = rng.permutation(slots)
    own = np.flatnonzero(slots < OWN)
    slots[own] = np.arange(OWN)  # items with a row of their own have them in item order
    return PersonalModel(
        code_items(rows, coding, seed=0),
        slots,
        np.bincount(slots[slots >= OWN] - OWN),
        degree_codes(rng.integers(1, 200, ITEMS), least=5),
        HistoryRule(ridge=ridge, half_life=half_life),
    )


def write_person(
    folder: Path,
    coding: str = "rows",
    *,
    lowering: str = "native",
    ridge: float | None = 3.0,
    half_life: float | None = 10.0,
    item_titles: list[str | None] | None = None,
    learns: bool = False,
) -> PersonBundle:
    """A personal bundle of `person_model`, traced unless a test has already."""
    model = person_model(CODINGS[coding], ridge=ridge, half_life=half_life)
    ids = [f"item-{number:02d}" for number in range(ITEMS)]

    def make(place: Path) -> None:
        draft = draft_personal(
            model, ProgramLimits(max_k=MAX_K), lowering=lowering, max_history=MAX_HISTORY, learns=learns
        )
        write_personal(draft, place, item_ids=IdMap.from_values(ids), item_titles=item_titles, entities=200)

    kind = f"person {OWN} {ITEMS} {CODINGS[coding]} {lowering} {ridge} {half_life} {item_titles} {learns}"
    shutil.copytree(traced(kind, make), folder)
    return PersonBundle(folder, model, ids)
