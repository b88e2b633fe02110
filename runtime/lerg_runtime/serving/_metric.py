"""The metrics by which histories are compared, made from the item rows as they are served."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.engine._engine import native
from lerg_runtime.errors import LergRuntimeError
from lerg_runtime.planning._sizes import metric_work_shape

__all__ = ["make_metrics"]


def make_metrics(
    ridges: tuple[float, ...],
    shape: ModelShape,
    item_arrays: tuple[np.ndarray, ...],
    item_slots: np.ndarray,
    *,
    allocate: Callable[[tuple[int, ...], str], np.ndarray],
) -> dict[float, np.ndarray]:
    """By ridge, M = (G d / tr(G) + ridge I)^-1, float32 [d, d], G the sum of h h' over all items.

    The closed form of ridge regression of all items on a history, as ALS (Hu, Koren and Volinsky, ICDM 2008)
    and EASE (arXiv 1905.03375) fold a user in, up to a factor that no ranking sees. Sums are of doubles in
    the order of the slots, so that threads and machines give the same metric.

    Args:
        item_arrays: item table [m_i + r_i, d], and its scales if it is int8.
        item_slots: int32 [I].
        allocate: memory of the metrics, and what they are made in.

    Raises:
        BudgetError: it does not fit the budget.
        LergRuntimeError: a row of the table is no number.
    """
    if not ridges:
        return {}
    table, scales = item_arrays[0], item_arrays[1] if len(item_arrays) > 1 else None
    metrics = {ridge: allocate((shape.dim, shape.dim), "float32") for ridge in ridges}
    counts = allocate((shape.item_slots,), "int32")
    counts[:] = np.bincount(item_slots, minlength=shape.item_slots)
    work = allocate(metric_work_shape(shape), "float64")
    for ridge, metric in metrics.items():
        try:
            native().ridge_metric(table, scales, counts, ridge, work, metric)
        except ValueError as error:
            raise LergRuntimeError(
                f"histories cannot be compared by the item table: {error}; restore the state from a copy"
            ) from None
    return metrics
