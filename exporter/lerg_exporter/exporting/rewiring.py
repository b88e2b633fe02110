"""The model of graph propagation: the graph re-routed around those who are pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from lerg_edge.pruning.placeholders import Placeholders
from lerg_edge.pruning.rewired_model import RewiredModel
from lerg_edge.pruning.rewiring import RewiredGraph, induced, rewire
from lerg_edge.selection import Selection
from lerg_edge.training.pretraining import without_pruned
from lerg_exporter.exporting.shaping import Given, Shaped

__all__ = ["Rewiring"]


@dataclass(frozen=True, slots=True, eq=False)
class Rewiring:
    """See :class:`lerg_exporter.exporting.shaping.Shaping`."""

    given: Given

    def settings(self) -> Mapping[str, object]:
        model = self.given.model
        return {
            "assignment": model.assignment,
            "layers": model.layers,
            "rewiring": self.given.options.rewiring,
        }

    def rows(self, selection: Selection, placeholders: Placeholders) -> tuple[np.ndarray, np.ndarray]:
        seen = self._graph(self.given.cut.split.train, selection)
        return self._model(seen, selection, placeholders).entity_rows()

    def shape(self, selection: Selection, placeholders: Placeholders) -> Shaped:
        graph, seen = (
            self._graph(pairs, selection) for pairs in (self.given.cut.matrix, self.given.cut.split.train)
        )
        model, twin = (self._model(each, selection, placeholders) for each in (graph, seen))
        isolated = sum(int((graph.matrix.sum(axis=side) == 0).sum()) for side in (0, 1))
        counts = {"removed": int(graph.removed), "added": int(graph.added), "isolated": isolated}
        return Shaped(model, twin, {"rewiring": counts})

    def restored(self, tensors: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> RewiredModel:
        return RewiredModel.from_stage(tensors, numbers)

    def _graph(self, pairs: sparse.csr_matrix, selection: Selection) -> RewiredGraph:
        # Where nothing is propagated no program reads an edge, and none is stored.
        edges = pairs if self.given.model.layers else sparse.csr_matrix(pairs.shape, dtype=np.float32)
        if self.given.options.rewiring == "none":
            return induced(edges, selection.retained)
        return rewire(edges, selection.retained, self.given.embeddings)

    def _model(self, graph: RewiredGraph, selection: Selection, placeholders: Placeholders) -> RewiredModel:
        model, train = self.given.model, self.given.cut.train
        stored = without_pruned(model, selection.retained) if self.given.options.is_full_table else model
        return RewiredModel(
            train.user_count,
            train.item_count,
            stored.assignment.codes,
            stored.assignment.anchor_weight,
            stored.assignment.codebook_rows,
            stored.codebook,
            stored.step.reshape(-1),
            model.bits,
            model.layers,
            selection.retained,
            graph.matrix,
            placeholders,
            model.assignment.composition,
        )
