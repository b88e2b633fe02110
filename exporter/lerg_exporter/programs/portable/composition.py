"""How entities' layer-0 rows come from the codebook in portable programs: by gathers, in both directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lerg_exporter.programs.portable.gathers import GatherPlan, chunk_entries, longest_first, transposed

__all__ = ["ComposedRows", "code_weights", "composed_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class ComposedRows:
    """Rows of the entities, or one block of them, as sums of rows of a table that is made of the codebook.

    Attributes:
        plan: rows are the entities [m]; row k of the codebook by weight w is row w * c + k of the table.
        members: its transpose, rows by falling number of entities.
        place: int64 [w * c + 1], where each row of the table, its zero row included, is among `members`'.
    """

    plan: GatherPlan
    members: GatherPlan
    place: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, *, codebook_rows: int, kinds: int, most: int) -> ComposedRows:
        """From int64 `codes` [m, t]; with 2 `kinds` the first code has one weight and the others another."""
        count, width = codes.shape
        table_rows = codebook_rows * kinds
        shift = np.zeros(width, np.int64)
        shift[1:] = (kinds - 1) * codebook_rows
        indptr, entries = np.arange(count + 1) * width, (codes + shift).reshape(-1)
        by_code = sparse.csr_matrix(
            (np.ones(len(entries), np.int8), *reversed(transposed(indptr, entries, columns=table_rows))),
            shape=(table_rows, count),
        )
        order = longest_first(np.diff(by_code.indptr))
        ordered = by_code[order]
        place = np.empty(table_rows + 1, np.int64)
        place[order] = np.arange(table_rows)
        place[table_rows] = table_rows
        return cls(
            GatherPlan.of(indptr, entries, table_rows=table_rows, most=most),
            GatherPlan.of(ordered.indptr, ordered.indices, table_rows=count, most=most),
            place,
        )


def composed_rows(
    codes: np.ndarray, *, codebook_rows: int, dim: int, blocks: bool
) -> tuple[ComposedRows, ...]:
    """One for each block of rows that are cut into blocks, else one for the whole; `codes` int64 [m, t].

    Blocks are gathered apart, from a table of c narrow rows each: so their codes take a byte where c is 256,
    and lists of entities two, which neither would if all blocks were rows of one table. A chunk has no more
    entries than one of whole rows, because what pads it would be the more the fewer chunks there are.
    """
    most, codes_per_entity = chunk_entries(dim), codes.shape[1]
    if not blocks:
        kinds = len(code_weights(codes_per_entity, 1.0))
        return (ComposedRows.of(codes, codebook_rows=codebook_rows, kinds=kinds, most=most),)
    columns = np.split(codes, codes_per_entity, axis=1)
    return tuple(
        ComposedRows.of(column, codebook_rows=codebook_rows, kinds=1, most=most) for column in columns
    )


def code_weights(codes_per_entity: int, anchor_weight: float) -> tuple[float, ...]:
    """Different weights of an entity's codes in a sum, the first code's first."""
    if codes_per_entity == 1:
        return (1.0,)
    return anchor_weight, (1.0 - anchor_weight) / (codes_per_entity - 1)
