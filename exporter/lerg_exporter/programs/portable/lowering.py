"""Turning `lerg_portable::gather_sum` and `weighted_sums` into stock operators of a lowered graph.

Done after the other passes: a graph of a few dozen operators is lowered in a second, and one of the
thousands that the chunks of a large set become in a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from executorch.exir.dialects._ops import ops as edge_ops
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.passes.infra.pass_base import PassResult

from lerg_exporter.programs.portable import ops as _operators  # noqa: F401  defines torch.ops.lerg_portable

__all__ = ["expand_sums"]

_EDGE = edge_ops.edge.aten


def expand_sums(module: GraphModule) -> PassResult:
    """Replace every such sum of an edge-dialect graph; an index that several use is widened once."""
    ours = torch.ops.lerg_portable
    wide: dict[Node, Node] = {}
    expansion = _Expansion(module, wide)
    forms = {
        ours.gather_sum.default: lambda node: expansion.sums(*node.args[:6]),
        ours.weighted_sums.default: lambda node: expansion.weighted_sums(*node.args),
    }
    found = [node for node in module.graph.nodes if getattr(node.target, "_op", node.target) in forms]
    for node in found:
        with module.graph.inserting_before(node):
            result = forms[getattr(node.target, "_op", node.target)](node)
        node.replace_all_uses_with(result)
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()
    return PassResult(module, bool(found))


class _Expansion:
    """Adds nodes to a graph where it inserts now; each carries the shape that later passes plan with.

    Args:
        module: to add to.
        wide: indices that are int32 already, by the node of the stored one.
    """

    def __init__(self, module: GraphModule, wide: dict[Node, Node]) -> None:
        self._graph = module.graph
        self._wide = wide

    def sums(
        self,
        table: Node,
        chunks: Sequence[Node],
        offset: int,
        parts: Sequence[int],
        empty: int,
        place: Node | None,
    ) -> Node:
        """What `lerg_exporter.programs.portable.ops.gather_sum` says, in the edge dialect."""
        left = iter(chunks)
        dim = table.meta["val"].shape[1]
        groups = [self._group(table, left, count, offset) for count in parts]
        nothing = (empty + 1, dim)
        groups.append(
            self._call(_EDGE.full.default, (list(nothing), 0.0), nothing, table, dtype=torch.float32)
        )
        rows = sum(group.meta["val"].shape[0] for group in groups)
        result = self._call(_EDGE.cat.default, (groups,), (rows, dim), table)
        if place is None:
            return result
        return self._embedding(result, self._widened(place, 0))

    def weighted_sums(self, table: Node, rows: Node, weights: Node) -> Node:
        """What `lerg_exporter.programs.portable.fold.weighted_sums` says, in the edge dialect."""
        parts, count, width = rows.meta["val"].shape
        dim = table.meta["val"].shape[1]
        select, sums = _EDGE.select_copy.int, []
        for part in range(parts):
            chosen = self._call(select, (rows, 0, part), (count, width), rows, kind=torch.int32)
            factors = self._call(select, (weights, 0, part), (count, 1, width), weights)
            gathered = self._embedding(table, chosen)
            sums.append(self._call(_EDGE.bmm.default, (factors, gathered), (count, 1, dim), table))
        return self._call(_EDGE.cat.default, (sums,), (parts * count, 1, dim), table)

    def _group(self, table: Node, left: Iterator[Node], count: int, offset: int) -> Node:
        sums = []
        for _ in range(count):
            rows = self._embedding(table, self._widened(next(left), offset))
            size, _, dim = rows.meta["val"].shape
            sums.append(self._call(_EDGE.sum.dim_IntList, (rows, [1]), (size, dim), table))
        total = sums[0]
        for other in sums[1:]:
            total = self._call(_EDGE.add.Tensor, (total, other), tuple(total.meta["val"].shape), table)
        return total

    def _embedding(self, table: Node, index: Node) -> Node:
        shape = (*index.meta["val"].shape, table.meta["val"].shape[1])
        return self._call(_EDGE.embedding.default, (table, index), shape, table)

    def _widened(self, index: Node, offset: int) -> Node:
        if index in self._wide:
            return self._wide[index]
        shape = tuple(index.meta["val"].shape)
        wide = index
        if index.meta["val"].dtype != torch.int32:
            wide = self._call(
                _EDGE._to_copy.default, (index,), shape, index, kind=torch.int32, dtype=torch.int32
            )
        if offset:
            wide = self._call(_EDGE.add.Scalar, (wide, offset), shape, wide, kind=torch.int32)
        self._wide[index] = wide
        return wide

    def _call(
        self,
        target: Any,
        arguments: tuple[Any, ...],
        shape: Sequence[int],
        like: Node,
        *,
        kind: torch.dtype = torch.float32,
        **options: Any,
    ) -> Node:
        node = self._graph.call_function(target, arguments, options)
        value: Tensor = like.meta["val"].new_empty(tuple(shape), dtype=kind)
        node.meta["val"] = value
        return node
