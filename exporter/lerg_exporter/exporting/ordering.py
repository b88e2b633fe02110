"""Entities in the order in which training, programs and bundles have them."""

from __future__ import annotations

from lerg_edge.data.interactions import Dataset
from lerg_edge.propagation.ordering import order_entities

__all__ = ["in_order"]


def in_order(dataset: Dataset) -> Dataset:
    """The dataset with entities of common neighbours near each other, whatever their ids are.

    The order is that of the pairs that training is given, and ids keep it from here to the device.
    """
    order = order_entities(dataset.train.matrix())
    return dataset.reordered(order.users, order.items)
