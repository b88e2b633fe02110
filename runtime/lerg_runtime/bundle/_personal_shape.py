"""The sizes of a personal model: items, and nobody who has touched them."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_runtime._limits import MAX_CODES, MAX_DIM, MAX_ENTITIES, MAX_HISTORY
from lerg_runtime.bundle._fields import Fields
from lerg_runtime.bundle._packing import FLOAT_BITS, PACKED_DTYPES, packed_shape
from lerg_runtime.errors import BundleError

__all__ = ["CODINGS", "PersonalShape"]

CODINGS = ("rows", "product", "folded")


@dataclass(frozen=True, slots=True)
class PersonalShape:
    """`model` of the manifest of a personal bundle.

    Attributes:
        items: I.
        dim: d, length of a row.
        bits: 4, 8 or 16, of a codebook element.
        codebook_rows: c, rows of the codebook.
        step_count: 1, or c for one step a row.
        coding: `rows`, a codebook row a slot; `product`, blocks of codebook rows; `folded`, weighted sums.
        width: codes of a slot.
        own_rows: items with a row of their own; their slots come first.
        placeholders: rows that several items share, each.
        max_history: most items of the device's history.
        max_k: most items that one call of `recommend` gives.
        half_life: items after which an older one counts half as much; None where all count alike.
        max_batch: most items that `finetune` learns from at a time; 0 where there is no such program.
    """

    items: int
    dim: int
    bits: int
    codebook_rows: int
    step_count: int
    coding: str
    width: int
    own_rows: int
    placeholders: int
    max_history: int
    max_k: int
    half_life: float | None = None
    max_batch: int = 0

    @classmethod
    def parse(cls, fields: Fields, serving: Fields) -> PersonalShape:
        """Checked `model` and `serving` objects of a manifest.

        Raises:
            BundleError: a value is absent, out of bounds, or does not agree with another.
        """
        items = fields.integer("items", least=1, most=MAX_ENTITIES)
        rows = fields.integer("codebook_rows", least=1, most=MAX_CODES)
        steps = fields.integers("step_shape", most=MAX_CODES, count=1)
        if steps not in ((1,), (rows,)):
            raise BundleError(f"{fields.where}.step_shape must be [1] or [{rows}]")
        dim = fields.integer("dim", least=1, most=MAX_DIM)
        rule = serving.inner("unknown")
        shape = cls(
            items=items,
            dim=dim,
            bits=fields.integer("bits", least=4, most=FLOAT_BITS),
            codebook_rows=rows,
            step_count=steps[0],
            coding=fields.text("coding", among=CODINGS),
            width=fields.integer("width", least=1, most=max(rows, dim)),
            own_rows=fields.integer("own_rows", most=items),
            placeholders=fields.integer("placeholders", most=items),
            max_history=fields.integer("max_history", least=1, most=MAX_HISTORY),
            max_k=fields.integer("max_k", least=1, most=items),
            half_life=None
            if rule.values.get("half_life") is None
            else rule.number("half_life", least=0.0, above=True),
            max_batch=fields.integer("max_batch", least=2, most=MAX_HISTORY) if "max_batch" in fields else 0,
        )
        if shape.bits not in PACKED_DTYPES or shape.bits == FLOAT_BITS or (shape.bits == 4 and dim % 2):
            raise BundleError(f"{fields.where}.bits must be 4, 8 or 16, and dim even for 4 bits")
        if shape.coding == "rows" and (shape.slots, 1) != (rows, shape.width):
            raise BundleError(f"{fields.where}: there are {shape.slots} slots and {rows} rows for them")
        if shape.coding == "product" and dim % shape.width:
            raise BundleError(f"{fields.where}.dim must be a multiple of the {shape.width} blocks of a row")
        if (shape.own_rows < items) != (shape.placeholders > 0):
            raise BundleError(
                f"{fields.where}: {items - shape.own_rows} items have no row of their own and there are "
                f"{shape.placeholders} placeholders"
            )
        return shape

    @property
    def users(self) -> int:
        """Nobody: no index of a user is valid in such a bundle."""
        return 0

    @property
    def slots(self) -> int:
        """Rows of the item table, S."""
        return self.own_rows + self.placeholders

    @property
    def packed_dtype(self) -> str:
        """Dtype of the packed codebook."""
        return PACKED_DTYPES[self.bits]

    @property
    def packed_shape(self) -> tuple[int, int]:
        """Shape of the packed codebook."""
        return packed_shape(self.codebook_rows, self.dim, bits=self.bits)
