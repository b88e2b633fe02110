"""The sizes of a model, from which the shape of every array and tensor of a bundle follows."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_runtime._limits import MAX_CODES, MAX_DIM, MAX_ENTITIES, MAX_LAYERS, MAX_PAIRS
from lerg_runtime.bundle._fields import Fields
from lerg_runtime.bundle._packing import FLOAT_BITS, PACKED_DTYPES, packed_shape
from lerg_runtime.errors import BundleError

__all__ = ["ITEM_TABLES", "ModelShape"]

ITEM_TABLES = ("float32", "int8")  # what a manifest without the key means comes first
LAYER_STORAGES = ("float32", "float16")
COMPOSITIONS = ("sum", "blocks")


@dataclass(frozen=True, slots=True)
class ModelShape:
    """`model` of a manifest.

    Attributes:
        users, items: U and I.
        dim: d, length of an embedding.
        bits: 4, 8 or 16, of a codebook element, or 32 where nothing is quantised.
        codebook_rows: c, rows of the codebook.
        codes_per_entity: t, codes that make up an entity of layer 0; 0 with folded propagation.
        anchor_weight: weight of the first of them; 0 with blocks or folded propagation.
        layers: L of propagation.
        retained_users, retained_items: m_u and m_i.
        edges: of the rewired graph; 0 with folded propagation.
        user_placeholders, item_placeholders: r_u and r_i.
        step_count: 1, or c for one step a row.
        max_batch, max_users, max_k: largest inputs of the programs.
        l2: weight of the squared rows in the loss.
        entries: k of folded propagation, 0 with graph propagation.
        item_table: `float32`, or `int8` with a float32 scale a row.
        layer_storage: `float32` or `float16`, of the rows between the layers of graph propagation.
        composition: `sum` of weighted codebook rows, or `blocks` of them side by side; of graph propagation.
    """

    users: int
    items: int
    dim: int
    bits: int
    codebook_rows: int
    codes_per_entity: int
    anchor_weight: float
    layers: int
    retained_users: int
    retained_items: int
    edges: int
    user_placeholders: int
    item_placeholders: int
    step_count: int
    max_batch: int
    max_users: int
    max_k: int
    l2: float
    entries: int = 0
    item_table: str = "float32"
    layer_storage: str = "float32"
    composition: str = "sum"

    @classmethod
    def parse(cls, fields: Fields) -> ModelShape:
        """Checked `model` object of a manifest.

        Raises:
            BundleError: a value is absent, out of bounds, or does not agree with another.
        """
        users = fields.integer("users", least=1, most=MAX_ENTITIES)
        items = fields.integer("items", least=1, most=MAX_ENTITIES - users)
        rows = fields.integer("codebook_rows", least=1, most=MAX_CODES)
        steps = fields.integers("step_shape", most=MAX_CODES, count=1)
        if steps not in ((1,), (rows,)):
            raise BundleError(f"{fields.where}.step_shape must be [1] or [{rows}]")
        entries = fields.integer("entries", least=1, most=rows) if "entries" in fields else 0
        graph = not entries
        dim = fields.integer("dim", least=1, most=MAX_DIM)

        def choice(name: str, known: tuple[str, ...]) -> str:
            return fields.text(name, among=known) if name in fields else known[0]

        composition = choice("composition", COMPOSITIONS) if graph else COMPOSITIONS[0]
        weighted = graph and composition == "sum"
        codes_per_entity = 0
        if graph:
            # No code of a sum repeats; every block chooses among all of them.
            codes_per_entity = fields.integer("codes_per_entity", least=1, most=rows if weighted else dim)
        shape = cls(
            users=users,
            items=items,
            dim=dim,
            bits=fields.integer("bits", least=4, most=FLOAT_BITS),
            codebook_rows=rows,
            codes_per_entity=codes_per_entity,
            anchor_weight=fields.number("anchor_weight", least=0.0, most=1.0) if weighted else 0.0,
            layers=fields.integer("layers", most=MAX_LAYERS),
            retained_users=fields.integer("retained_users", most=users),
            retained_items=fields.integer("retained_items", most=items),
            edges=fields.integer("edges", most=MAX_PAIRS) if graph else 0,
            user_placeholders=fields.integer("user_placeholders", most=users),
            item_placeholders=fields.integer("item_placeholders", most=items),
            step_count=steps[0],
            max_batch=fields.integer("max_batch", least=2, most=2**24),
            max_users=fields.integer("max_users", least=1, most=2**16),
            max_k=fields.integer("max_k", least=1, most=items),
            l2=fields.number("l2", least=0.0),
            entries=entries,
            item_table=choice("item_table", ITEM_TABLES),
            layer_storage=choice("layer_storage", LAYER_STORAGES),
            composition=composition,
        )
        if shape.bits not in PACKED_DTYPES or (shape.bits == 4 and shape.dim % 2):
            raise BundleError(f"{fields.where}.bits must be 4, 8, 16 or 32, and dim even for 4 bits")
        if shape.bits == FLOAT_BITS and (shape.step_count > 1 or entries):
            raise BundleError(
                f"{fields.where}.bits is 32, which goes with one step and with graph propagation only"
            )
        if shape.dim % shape.blocks:
            raise BundleError(
                f"{fields.where}.dim is {dim}; it must be a multiple of a row's {codes_per_entity} blocks"
            )
        for side in ("user", "item"):
            pruned = getattr(shape, f"{side}s") - getattr(shape, f"retained_{side}s")
            if pruned and not getattr(shape, f"{side}_placeholders"):
                raise BundleError(f"{fields.where}.{side}_placeholders is 0 but {pruned} {side}s are pruned")
        return shape

    @property
    def max_history(self) -> int:
        """A shared bundle keeps what its users touch as interactions, and no history beside them."""
        return 0

    @property
    def blocks(self) -> int:
        """Equal parts that a row of layer 0 is cut into, t; 1 for sums."""
        return self.codes_per_entity if self.composition == "blocks" else 1

    @property
    def user_slots(self) -> int:
        """Rows of the user table, m_u + r_u."""
        return self.retained_users + self.user_placeholders

    @property
    def item_slots(self) -> int:
        """Rows of the item table, m_i + r_i."""
        return self.retained_items + self.item_placeholders

    @property
    def item_arrays(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Dtype and shape of the arrays that make up the item table."""
        rows = (self.item_slots, self.dim)
        if self.item_table == "int8":
            return (("int8", rows), ("float32", rows[:1]))
        return (("float32", rows),)

    @property
    def packed_dtype(self) -> str:
        """Dtype of the packed codebook."""
        return PACKED_DTYPES[self.bits]

    @property
    def packed_shape(self) -> tuple[int, int]:
        """Shape of the packed codebook."""
        return packed_shape(self.codebook_rows, self.dim, bits=self.bits)
