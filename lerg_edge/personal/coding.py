"""Codings of a table of item rows: a row of its own for each, product codes, or a few weighted codes.

All three are a codebook and what each item takes of it, so that programs, files and learning on a device
treat them alike. Which is best at so many bytes differs from data to data: product codes on lastfm, folded
rows on gowalla. So an export tries them on held-out users.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from lerg_edge.assigning.product import product_codes
from lerg_edge.codes.assignment import identity_assignment
from lerg_edge.codes.quantiser import least_error_step
from lerg_edge.errors import InputError
from lerg_edge.folding.dictionary import approximate, learn_dictionary
from lerg_edge.personal.coded_items import KINDS, CodedItems

__all__ = ["CODINGS", "Coding", "code_items", "codings_for"]

_CODEBOOK_BITS = 8
_PRODUCT_CODES = 256
_FOLDED_CODES = 1024
_FEWEST_ROWS_A_CODE = 2
_STEP_BYTES = 4


@dataclass(frozen=True, slots=True)
class Coding:
    """How item rows are stored.

    Attributes:
        kind: `rows`, `product` or `folded`.
        bits: of a codebook element; of a row's own elements with `rows`.
        width: codes of an item: blocks with `product`, weighted codes with `folded`, 1 with `rows`.
        codebook_rows: rows of the codebook, 0 for as many as there are items.

    >>> str(Coding("rows", 4)), str(Coding("product", 8, 16, 256))
    ('rows of 4 bits', '16 product codes')
    """

    kind: str
    bits: int
    width: int = 1
    codebook_rows: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind is {self.kind}; choose one of {', '.join(KINDS)}")

    def __str__(self) -> str:
        if self.kind == "rows":
            return f"rows of {self.bits} bits"
        return f"{self.width} {'product' if self.kind == 'product' else 'weighted'} codes"

    def stored_bytes(self, items: int, dim: int) -> int:
        """Bytes of codes, weights and codebook, before any file is compressed."""
        codes = items if self.kind == "rows" else self.codebook_rows
        steps = codes if self.kind == "rows" else 1
        codebook = codes * dim * self.bits // 8 + _STEP_BYTES * steps
        index = 1 if self.codebook_rows <= 1 << 8 else 2
        an_item = {"rows": 0, "product": self.width * index, "folded": self.width * (index + 1) + 1}[
            self.kind
        ]
        return items * an_item + codebook


CODINGS = (
    Coding("rows", 8),
    Coding("rows", 4),
    *(Coding("product", _CODEBOOK_BITS, width, _PRODUCT_CODES) for width in (32, 28, 16, 14, 8)),
    *(Coding("folded", _CODEBOOK_BITS, width, _FOLDED_CODES) for width in (12, 8, 6, 4)),
)
"""What an export tries unless it is told what to take; those that a table is too small for are left out."""


def codings_for(items: int, dim: int, *, most_bytes: int | None = None) -> tuple[Coding, ...]:
    """The codings that a table [items, dim] can have, the smallest first, those above a bound left out."""
    found = []
    for coding in CODINGS:
        if coding.kind == "product" and (dim % coding.width or coding.width > dim // 2):
            continue
        if coding.kind != "rows":
            # Fewer rows than that would be the codebook themselves.
            coding = replace(coding, codebook_rows=min(coding.codebook_rows, items // _FEWEST_ROWS_A_CODE))
            if coding.codebook_rows < max(1, coding.width if coding.kind == "folded" else 1):
                continue
        if dim % 2 and coding.bits == 4:
            continue
        if most_bytes is None or coding.stored_bytes(items, dim) <= most_bytes:
            found.append(coding)
    return tuple(sorted(found, key=lambda coding: coding.stored_bytes(items, dim)))


def code_items(rows: np.ndarray, coding: Coding, *, seed: int) -> CodedItems:
    """Code a table of rows.

    Args:
        rows: float32 [I, d].
        coding: how.
        seed: of the rows that a codebook starts from.

    Raises:
        InputError: sizes that do not fit together.
    """
    rows = np.ascontiguousarray(rows, np.float32)
    if coding.kind == "rows":
        step = least_error_step(rows, bits=coding.bits, per_row=True)
        return CodedItems(coding.kind, identity_assignment(len(rows)), rows, step, coding.bits)
    if coding.kind == "folded":
        dictionary = learn_dictionary(
            rows, codebook_rows=coding.codebook_rows, entries=coding.width, bits=coding.bits, seed=seed
        )
        folded = approximate(rows, dictionary, entries=coding.width)
        return CodedItems(coding.kind, folded, dictionary.codebook, dictionary.step, coding.bits)
    # Rows of items as they are: no user has a row here, and nothing is propagated any more.
    nobody = sparse.csr_matrix((0, len(rows)), dtype=np.float32)
    learned = product_codes(
        rows, nobody, blocks=coding.width, layers=0, codebook_rows=coding.codebook_rows, sweeps=0, seed=seed
    )
    step = least_error_step(learned.codebook, bits=coding.bits)
    return CodedItems(coding.kind, learned.assignment, learned.codebook, step, coding.bits)
