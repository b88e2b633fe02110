"""What goes into pretraining and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lerg_edge.codes.assignment import Assignment
from lerg_edge.codes.widths import WIDTHS, check_bits
from lerg_edge.errors import InputError
from lerg_edge.training.objectives import Augmentation, objective

_CODEBOOK_BYTES_PER_ROOT_ENTITY = 1700
_STEPS_PER_EPOCH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How a model is trained.

    Attributes:
        dim: d, numbers in an embedding.
        bits: width of a stored codebook element: 4, 8, 16, or 32 for no quantisation.
        layers: L, propagation layers.
        epochs: most epochs.
        stop_after: ends the training after fewer of them, with the rate as it was on the way to ``epochs``.
        batch: interactions in a step; None for :func:`default_batch`.
        negatives: items drawn against each interaction; ``in-batch`` draws none.
        loss: a name of ``training.objectives.OBJECTIVES``: ``bpr``, ``softmax`` over each interaction's
            item and its negatives, or ``in-batch``, a softmax over the other positives of the batch.
        loss_settings: of the objective; ``in-batch`` has those of ``training.in_batch.InBatchSoftmax``.
        learning_rate: Adam's rate for the codebook; the steps move at this rate relative to their start.
        schedule: ``constant`` rate, or ``cosine``: falling to a fiftieth over ``epochs``.
        l2: weight of the squared layer-0 rows of the batch.
        patience: epochs without a better validation NDCG@20 after which training stops.
        validation_share: part of a validation user's interactions that is held out; 0 for no validation.
        validation_users: most users to validate on.
        start: codebook to start from, near the graph's singular vectors or random.
        start_scale: root mean square of a starting layer-0 row's elements (``spectral``) or of the
            codebook's.
        augment: what a recommender does in place of plain propagation, or None.
        per_row_steps: one quantiser step a codebook row instead of one for all.
        seed: everything random follows from it.
        device: ``auto`` takes a GPU if there is one.
        threads: CPU threads while training; None leaves torch's setting.

    Raises:
        InputError: a value outside its range.
    """

    dim: int = 64
    bits: int = 4
    layers: int = 3
    epochs: int = 100
    stop_after: int | None = None
    batch: int | None = None
    negatives: int = 4
    loss: str = "bpr"
    loss_settings: Mapping[str, float] = field(default_factory=dict, hash=False)
    learning_rate: float = 0.02
    schedule: Literal["constant", "cosine"] = "constant"
    l2: float = 1e-4
    patience: int = 8
    validation_share: float = 0.1
    validation_users: int = 5000
    start: Literal["spectral", "normal"] = "spectral"
    start_scale: float = 0.4
    augment: Augmentation | None = None
    per_row_steps: bool = False
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        check_bits(self.bits)
        together = WIDTHS[self.bits].per_byte
        if self.dim % together:
            raise InputError(
                f"dim is {self.dim}; {together} elements of {self.bits} bits share a byte, so it must be a "
                f"multiple of {together}"
            )
        for name, least in (
            ("dim", 1), ("layers", 0), ("epochs", 1), ("negatives", 1), ("patience", 1), ("validation_users",
            0), ("seed", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name in ("batch", "stop_after", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1")
        if not 0.0 <= self.validation_share < 1.0:
            raise InputError(
                f"validation_share is {self.validation_share}; it must be at least 0 and below 1"
            )
        for name in ("learning_rate", "start_scale"):
            value = getattr(self, name)
            if not (value > 0.0 and math.isfinite(value)):
                raise InputError(f"{name} is {value}; it must be a positive number")
        if not (self.l2 >= 0.0 and math.isfinite(self.l2)):
            raise InputError(f"l2 is {self.l2}; it must not be negative")
        for name, known in (
            ("start", ("spectral", "normal")),
            ("schedule", ("constant", "cosine")),
            ("device", ("auto", "cpu", "cuda")),
        ):
            if getattr(self, name) not in known:
                *others, last = known
                raise InputError(f"{name} is {getattr(self, name)!r}; choose {', '.join(others)} or {last}")
        objective(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """One epoch.

    Attributes:
        epoch: number, from 1.
        loss: mean training loss.
        ndcg: validation NDCG@20, or None without validation.
        recall: validation Recall@20, or None.
        best: whether no epoch before was better.
        seconds: time that training took, without validation; not compared and not stored.
    """

    epoch: int
    loss: float
    ndcg: float | None
    recall: float | None
    best: bool
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pretrained:
    """A trained model.

    Attributes:
        assignment: S.
        codebook: float32 [c, d], latent weights.
        step: float32 [1] or [c].
        bits: 4, 8, 16, or 32 when the codebook is used as it is.
        layers: L.
        history: every epoch that was trained.
        best_epoch: the epoch that the codebook is from.
    """

    assignment: Assignment
    codebook: np.ndarray
    step: np.ndarray
    bits: int
    layers: int
    history: tuple[EpochReport, ...]
    best_epoch: int


def default_codes(entities: int, *, dim: int, bits: int) -> int:
    """Choose c so that the codebook takes 1700 * sqrt(N) bytes, and not more rows than 0.7 N.

    A part of a fixed size for each entity would leave a small graph with too few distinct rows; growing with
    the root gives a small graph a larger share of its full table and a large graph a smaller one.

    Args:
        entities: N.
        dim: d.
        bits: 4, 8, 16 or 32.
    """
    wanted = round(_CODEBOOK_BYTES_PER_ROOT_ENTITY * math.sqrt(entities) / (dim * bits / 8))
    return max(2, min(wanted, round(0.7 * entities)))


def default_batch(pairs: int) -> int:
    """Choose a batch, a power of two, for about 12 steps an epoch; between 256 and 131,072 interactions.

    One step costs a propagation whatever its batch, and Adam needs a number of steps whatever the graph.
    """
    return int(2 ** np.clip(np.rint(np.log2(max(pairs, 1) / _STEPS_PER_EPOCH)), 8, 17))
