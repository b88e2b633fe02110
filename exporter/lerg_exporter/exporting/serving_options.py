"""What an export is asked for: whom the bundle serves and how, and the device that it is for.

Importing this is cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

from lerg_exporter.exporting.model_options import ModelOptions
from lerg_exporter.exporting.settings import setting
from lerg_exporter.programs.choice import LOWERINGS, PROPAGATIONS
from lerg_exporter.programs.limits import ITEM_TABLES, LAYER_STORAGES

__all__ = ["ITEM_TRAININGS", "ServingOptions"]

ITEM_TRAININGS = ("recommender", "als", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions(ModelOptions):
    """The settings of groups `Serving`, `One person` and `Device` too; see `ExportOptions`."""

    pruned_users: str = setting(
        "auto",
        group="Serving",
        choices=("auto", "history", "placeholder"),
        help="Serve pruned users from their history or by a placeholder; auto takes what validation prefers.",
    )
    retained_users: str = setting(
        "auto",
        group="Serving",
        choices=("auto", "table", "history"),
        help="Serve users who stay from the table or from their history; auto takes histories where "
        "validation prefers them beyond noise.",
    )
    ridge: float | None = setting(
        None,
        group="Serving",
        metavar="R",
        least=0,
        help="Weight of the ridge in the metric that histories are compared by; 0 for no metric.",
        unset="none, 1, 3 or 10, by validation",
    )
    half_life: float | None = setting(
        None,
        group="Serving",
        metavar="N",
        least=0,
        help="Number of later items after which an item of a history counts half; 0 where all count alike.",
        unset="none, 5, 10, 20 or 50, by validation where there are timestamps",
    )
    local_counts: float | None = setting(
        None,
        group="Serving",
        metavar="W",
        least=0,
        most=1e3,
        help="On the device, raise items by how often they were touched there, by this weight; 0 for not.",
        unset="0, or 0.1, 0.2, 0.4 or 0.8 where later interactions say so",
    )
    newcomers: int | None = setting(
        None,
        group="Serving",
        metavar="N",
        least=0,
        help="Number of users to leave out of a second training, on whom it is chosen how to serve unknown "
        "people; 0 for no such training.",
        unset="a fifth of the users, at most 2,000; 0 if those are fewer than 100",
    )
    personal: bool = setting(
        False,
        group="One person",
        option=True,
        help="Make a bundle that holds items and no user, and serves one person from the history that the "
        "device keeps.",
    )
    finetune: bool = setting(
        False,
        group="One person",
        option=True,
        help="Give a personal bundle a program by which it learns from the history that it keeps.",
    )
    min_item_users: int = setting(
        5,
        group="One person",
        option=True,
        metavar="N",
        least=1,
        help="In a personal bundle, let items that fewer users than this have touched share rows, so that no "
        "row is one user's.",
    )
    max_history: int = setting(
        1000,
        group="One person",
        option=True,
        metavar="N",
        least=1,
        most=1 << 16,
        help="Let the device of a personal bundle keep at most this many items; the oldest go first.",
    )
    item_training: str = setting(
        "auto",
        group="One person",
        choices=("auto", *ITEM_TRAININGS),
        help="How a personal bundle learns items: by its recommender, by alternating least squares (als), or "
        "both, a table of each side by side; auto takes what people held out of training prefer, and the "
        "recommender's if one is stated.",
    )
    item_coding: str = setting(
        "auto",
        group="One person",
        choices=("auto", "rows", "product", "folded"),
        help="How a personal bundle stores items: rows of their own, product codes or a few weighted codes; "
        "auto takes what people held out of training prefer.",
    )
    memory_budget: int | None = setting(
        None,
        group="Device",
        option=True,
        metavar="SIZE",
        least=1,
        size=True,
        help="Most memory that running the bundle may take on the device, such as 64MiB.",
        unset="no limit",
    )
    storage_budget: int | None = setting(
        None,
        group="Device",
        option=True,
        metavar="SIZE",
        least=1,
        size=True,
        help="Most space that the files of the bundle may take.",
        unset="no limit",
    )
    propagation: str = setting(
        "graph",
        group="Device",
        option=True,
        choices=tuple(PROPAGATIONS),
        help="Propagate over the interaction graph on the device, or store the propagated rows folded into a "
        "few codes each: smaller, and no graph is needed.",
    )
    lowering: str = setting(
        "native",
        group="Device",
        option=True,
        choices=tuple(LOWERINGS),
        help="Use this project's kernels (native: fastest, smallest) or the operators of stock ExecuTorch "
        "(portable: runs anywhere).",
    )
    entries: int | None = setting(
        None,
        group="Device",
        metavar="K",
        least=1,
        help="Number of codes that make up a folded row.",
        unset="8, or fewer to meet a budget",
    )
    item_table: str = setting(
        "float32",
        group="Device",
        choices=ITEM_TABLES,
        help="Type of the item table that ranking reads; int8 takes a quarter of the memory.",
    )
    layer_storage: str = setting(
        "float32",
        group="Device",
        choices=LAYER_STORAGES,
        help="Type of the rows between two layers of graph propagation; float16 takes half of the memory.",
    )
    batch: int | None = setting(
        None,
        group="Device",
        metavar="N",
        least=2,
        help="Largest number of triples in a fine-tuning step on the device.",
        unset="4096, or fewer to meet a budget",
    )
    max_users: int | None = setting(
        None,
        group="Device",
        metavar="N",
        least=1,
        help="Largest number of users that one call of the program ranks for.",
        unset="64, and 1 with the portable lowering",
    )
    max_k: int = setting(
        256,
        group="Device",
        metavar="N",
        least=1,
        help="Largest number of items that one call of the program returns.",
    )
