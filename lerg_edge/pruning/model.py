"""What compressed models have in common, whatever the rows of their retained entities are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import Any, ClassVar, Protocol

import numpy as np

from lerg_edge.errors import InputError
from lerg_edge.pruning.placeholders import Placeholders


class CompressedModel(Protocol):
    """A model of the retained entities, with placeholders for the pruned.

    Programs speak of an entity by its slot within its side: the rank among the side's retained entities, in
    entity order, or the number of those plus the index of its placeholder.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    propagation: ClassVar[str]
    """How a row comes about."""
    kind: ClassVar[str]
    """What such a model is called."""

    @property
    def user_count(self) -> int:
        """U."""

    @property
    def item_count(self) -> int:
        """I."""

    @property
    def codebook_rows(self) -> int:
        """Rows of the codebook, c."""

    @property
    def codebook(self) -> np.ndarray:
        """Float32 [c, d], latent."""

    @property
    def step(self) -> np.ndarray:
        """Step size, float32 [1] or [c]."""

    @property
    def bits(self) -> int:
        """Width of a codebook element."""

    @property
    def layers(self) -> int:
        """L, of the propagation in the program or of the one that was folded."""

    @property
    def retained(self) -> np.ndarray:
        """Bool [U + I]."""

    @property
    def placeholders(self) -> Placeholders:
        """Embeddings of the pruned."""

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings by slot, float32 [m_u + r_u, d] and [m_i + r_i, d]."""

    def sizes(self) -> dict[str, Any]:
        """The numbers that only models of this kind have, as a manifest states them."""

    def assignment_bytes(self) -> tuple[int, int]:
        """What the codes of all retained entities take where they are stored, and their weights."""

    def macs(self) -> int:
        """Multiply-accumulates of the rows of all retained entities, from their codes on."""

    def to_stage(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Take the model apart into arrays and a JSON object, for :class:`lerg_edge.workdir.WorkDir`."""


def retained_users(model: CompressedModel) -> np.ndarray:
    """int64 [m_u], user indices of the retained users."""
    return np.flatnonzero(model.retained[: model.user_count])


def retained_items(model: CompressedModel) -> np.ndarray:
    """int64 [m_i], item indices of the retained items."""
    return np.flatnonzero(model.retained[model.user_count :])


def slots(model: CompressedModel) -> tuple[np.ndarray, np.ndarray]:
    """The slot of every user, int32 [U], and of every item, int32 [I]."""
    users, items = slice(0, model.user_count), slice(model.user_count, None)
    return _slots_of(model, users), _slots_of(model, items)


def entity_rows(model: CompressedModel) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings by user and by item, float32 [U, d] and [I, d]."""
    (user_table, item_table), (user_slots, item_slots) = model.tables(), slots(model)
    return user_table[user_slots], item_table[item_slots]


def with_placeholders(model: CompressedModel, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables by slot, from the rows of the retained entities, float32 [m_u + m_i, d], users first."""
    users = len(retained_users(model))
    user_rest, item_rest = model.placeholders.tables()
    return np.concatenate([rows[:users], user_rest]), np.concatenate([rows[users:], item_rest])


def check_model(model: CompressedModel) -> None:
    """Refuse parts that do not fit together.

    Raises:
        InputError: says which.
    """
    entities, placeholders = model.user_count + model.item_count, model.placeholders
    for name, array in (("retained", model.retained), ("the placeholder index", placeholders.index)):
        if array.shape != (entities,):
            raise InputError(f"{name} has {len(array)} entries; the model has {entities} entities.")
    if len(model.codebook) != model.codebook_rows or model.step.shape not in ((1,), (model.codebook_rows,)):
        raise InputError(
            f"codebook has {len(model.codebook)} rows and step shape {model.step.shape}; "
            f"there are {model.codebook_rows} codes."
        )
    if placeholders.codes.shape[1] != model.codebook.shape[1]:
        raise InputError(
            f"placeholders have {placeholders.codes.shape[1]} dimensions and the codebook "
            f"{model.codebook.shape[1]}; they must be equal."
        )
    if not np.array_equal(placeholders.index < 0, model.retained):
        raise InputError("an entity must have a placeholder exactly if it is not retained.")


def common_to_stage(model: CompressedModel) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What every model has, taken apart into arrays and a JSON object."""
    placeholders = model.placeholders
    tensors = {
        "codebook": model.codebook,
        "step": model.step,
        "retained": model.retained,
        "placeholder_codes": placeholders.codes,
        "placeholder_step": placeholders.step,
        "placeholder_index": placeholders.index,
    }
    numbers = {
        "user_count": model.user_count,
        "item_count": model.item_count,
        "bits": model.bits,
        "layers": model.layers,
        "placeholder_bits": placeholders.bits,
        "placeholder_users": placeholders.user_count,
    }
    return tensors, numbers


def common_from_stage(tensors: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that :func:`common_to_stage` took apart, by name."""
    return {
        **{name: tensors[name] for name in ("codebook", "step", "retained")},
        **{name: numbers[name] for name in ("user_count", "item_count", "bits", "layers")},
        "placeholders": Placeholders(
            tensors["placeholder_codes"],
            tensors["placeholder_step"],
            numbers["placeholder_users"],
            numbers["placeholder_bits"],
            tensors["placeholder_index"],
        ),
    }


def _slots_of(model: CompressedModel, side: slice) -> np.ndarray:
    """Of one side, int32 [n]: the rank among the retained, or their number plus the placeholder's index."""
    retained = model.retained[side]
    rank = np.cumsum(retained) - 1
    return np.where(retained, rank, int(retained.sum()) + model.placeholders.index[side]).astype(np.int32)
