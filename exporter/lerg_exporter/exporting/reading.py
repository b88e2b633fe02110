"""How an export reads its data, each setting declared once. Importing this is cheap."""

from __future__ import annotations

from dataclasses import dataclass

from lerg_edge.errors import InputError
from lerg_exporter.exporting.settings import Setting, faults_of, schema, setting

__all__ = ["READING_SETTINGS", "ReadingOptions"]

_SPLITS = ("auto", "none", "given", "ratio", "last", "time")
_BY_NAME = "by the usual names"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """Arguments of `lerg_edge.data.readers.read_dataset`; None as there."""

    test: str | None = setting(
        None,
        group="Data",
        option=True,
        metavar="FILE",
        help="Held-out interactions to measure on.",
        unset="none",
    )
    split: str = setting(
        "auto",
        group="Data",
        option=True,
        choices=_SPLITS,
        help="Where the test set comes from: nowhere (none), a file (given), or out of DATA: a share of each "
        "user's pairs (ratio), each user's last pair (last), or everything after one moment (time). auto: a "
        "given one, else last where timestamps tell it, else ratio. Pairs held out count as seen.",
    )
    test_share: float | None = setting(
        None,
        group="Data",
        option=True,
        metavar="SHARE",
        above=0,
        below=1,
        help="Share of the pairs to hold out with --split ratio or time.",
        unset="0.2",
    )
    rating_threshold: float | None = setting(
        None,
        group="Data",
        option=True,
        metavar="RATING",
        help="Learn nothing from pairs rated below this; they still count as seen.",
        unset="ratings are not looked at",
    )
    user_column: str | None = setting(
        None,
        group="Data",
        option=True,
        metavar="NAME",
        help="Name of the column that holds the users.",
        unset=_BY_NAME,
    )
    item_column: str | None = setting(
        None,
        group="Data",
        option=True,
        metavar="NAME",
        help="Name of the column that holds the items.",
        unset=_BY_NAME,
    )
    rating_column: str | None = setting(
        None,
        group="Data",
        option=True,
        metavar="NAME",
        help='Name of the column that holds ratings; "" for none.',
        unset=_BY_NAME,
    )
    timestamp_column: str | None = setting(
        None,
        group="Data",
        option=True,
        metavar="NAME",
        help='Name of the column that holds timestamps; "" for none.',
        unset=_BY_NAME,
    )
    item_titles: str | None = setting(
        None,
        group="Data",
        option=True,
        metavar="FILE",
        help="Titles of the items, kept in the bundle: a table with a header and columns such as item and "
        "title (CSV, TSV, RecBole's .item), or MovieLens' u.item or movies.dat.",
        unset="the bundle has no titles",
    )
    item_features: str | None = setting(
        None,
        group="Data",
        option=True,
        metavar="FILE",
        help="What is known of the items, for those that nobody has touched: a table with a header (CSV, "
        "TSV, RecBole's .item) of categories, numbers or vectors, or movies.dat. A map from it to rows is "
        "kept in the bundle where it helps, and a device adds items by it.",
        unset="the bundle has no map of features",
    )
    skip_bad_rows: bool = setting(
        False, group="Data", option=True, help="Skip rows that cannot be read, and count them."
    )

    def __post_init__(self) -> None:
        """Raises InputError for a value that is out of its range."""
        faults = list(faults_of(READING_SETTINGS, self))
        if faults:
            raise InputError.of_all(faults)


READING_SETTINGS: dict[str, Setting] = schema(ReadingOptions)
