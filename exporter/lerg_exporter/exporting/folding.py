"""The model of folded propagation: the propagated rows of those who stay, as a few weighted codes each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from lerg_edge.folding.dictionary import approximate, learn_dictionary
from lerg_edge.folding.folded_model import FoldedModel
from lerg_edge.pruning.placeholders import Placeholders
from lerg_edge.selection import Selection
from lerg_edge.training.pretraining import propagated
from lerg_exporter.exporting.shaping import Given, Shaped

__all__ = ["Folding"]


class Folding:
    """See :class:`lerg_exporter.exporting.shaping.Shaping`.

    The codebook is learned from rows propagated without the validation pairs, and so are the twin's rows; the
    model's own are approximated with that codebook from rows propagated over everything.
    """

    def __init__(self, given: Given) -> None:
        self.given = given

    @cached_property
    def _unseen(self) -> np.ndarray:
        """Rows propagated without the validation pairs, float32 [N, d]."""
        return propagated(self.given.model, self.given.cut.split.train)

    def settings(self) -> Mapping[str, object]:
        split, plan = self.given.cut.split, self.given.plan
        return {"codebook_rows": plan.codebook_rows, "entries": plan.entries, "seen": split.train}

    def rows(self, selection: Selection, placeholders: Placeholders) -> tuple[np.ndarray, np.ndarray]:
        """By the rows that folding will approximate."""
        rows, users = self._unseen.copy(), slice(0, self.given.cut.train.user_count)
        items = slice(users.stop, None)
        for side, table in zip((users, items), placeholders.tables(), strict=True):
            pruned = ~selection.retained[side]
            rows[side][pruned] = table[placeholders.index[side][pruned]]
        return rows[users], rows[items]

    def shape(self, selection: Selection, placeholders: Placeholders) -> Shaped:
        options, plan, train = self.given.options, self.given.plan, self.given.cut.train
        wanted, unseen = self.given.embeddings[selection.retained], self._unseen[selection.retained]
        dictionary = learn_dictionary(
            unseen,
            codebook_rows=plan.codebook_rows,
            entries=plan.entries,
            bits=options.bits,
            seed=options.seed,
        )
        rows, twin_rows = (
            approximate(target, dictionary, entries=plan.entries) for target in (wanted, unseen)
        )
        model = FoldedModel(
            train.user_count,
            train.item_count,
            rows,
            dictionary.codebook,
            dictionary.step,
            options.bits,
            self.given.model.layers,
            selection.retained,
            placeholders,
        )
        difference = rows.compose(dictionary.quantised()) - wanted
        left = float(np.square(difference).sum() / max(np.square(wanted).sum(), 1e-30))
        summary = {
            "codebook_rows": plan.codebook_rows,
            "entries": plan.entries,
            "squared_error": round(left, 6),
        }
        return Shaped(model, replace(model, rows=twin_rows), {"folding": summary})

    def restored(self, tensors: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> FoldedModel:
        return FoldedModel.from_stage(tensors, numbers)
