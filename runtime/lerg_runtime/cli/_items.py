"""How commands are told of items: ids, several ids between commas, or files of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from lerg_runtime.bundle import IdMap
from lerg_runtime.cli._options import unknown_ids
from lerg_runtime.errors import InputError, UnknownIdError
from lerg_runtime.interactions_file import InteractionsFile
from lerg_runtime.pairs._by_user import ItemsByUser
from lerg_runtime.pairs._items import ItemIndices
from lerg_runtime.pairs._resolved import unknown_id
from lerg_runtime.reading._columns import ColumnNames, find_columns
from lerg_runtime.reading._id_lines import id_lines
from lerg_runtime.reading._text import byte_blocks, first_line

__all__ = ["ITEM_TEXTS", "filter_items", "history_option", "named_items"]

ITEM_TEXTS = "A text that is an item's id is taken whole, another is cut at its commas"
_SKIP = "give --skip-unknown to leave such ids out"
_SEPARATORS = (",", "\t", ";", "|", "::")

history_option = click.option(
    "--history",
    "histories",
    multiple=True,
    metavar="ITEM,...",
    help="What somebody unknown to the bundle has touched, the oldest first; may be given several times. "
    f"{ITEM_TEXTS}: give items that have commas one by one.",
)


def named_items(ids: IdMap, texts: Sequence[str], *, option: str) -> list[str]:
    """The items that texts name: a text itself if it is an id, else what stands between its commas.

    Args:
        option: that has given them, such as `--history`.

    Raises:
        UnknownIdError: one of them is unknown.
    """
    return [item for text in texts for item in _cut(ids, text, option=option)]


def filter_items(
    ids: IdMap,
    texts: Sequence[str],
    *,
    option: str,
    by_user: Callable[[InteractionsFile], ItemsByUser] | None,
    usual: ColumnNames,
    skip_unknown: bool,
) -> ItemIndices | ItemsByUser | None:
    """The items of `--items` or `--exclude`, for everybody or by user; None where nothing was given.

    Args:
        ids: of the items.
        texts: as they were given: ids, several between commas, or names of files. A file has an id a line, or
            columns user and item.
        option: which of the two it is.
        by_user: looks up what a file lists by user; None where it may name none.
        usual: names of columns to prefer.
        skip_unknown: leave out unknown items.

    Raises:
        UnknownIdError: an id is unknown.
        UsageError: a file that names users beside anything else, or where there are none.
        InputError: a file cannot be read.
        BudgetError: what a file lists by user does not fit.
    """
    if not texts:
        return None
    listed = np.zeros(len(ids), dtype=bool)
    for text in texts:
        path = Path(text)
        if text in ids or not _is_file(path):
            for item in _cut(ids, text, option=option, skip_unknown=skip_unknown):
                _put(listed, ids.find(item))
        elif not _names_users(path, usual):
            for index in _known(ids, id_lines(path), path, skip_unknown=skip_unknown):
                _put(listed, index)
        elif by_user is None:
            raise click.UsageError(
                f"{option} {path} has items by user; without --user or --all-users give an id a line"
            )
        elif len(texts) > 1:
            raise click.UsageError(f"{option} {path} has items by user; give no other {option} beside it")
        else:
            with unknown_ids(_SKIP):
                return by_user(InteractionsFile(path, usual=usual))
    return ItemIndices(np.flatnonzero(listed))


def _put(listed: np.ndarray, index: int) -> None:
    if index >= 0:
        listed[index] = True


def _cut(ids: IdMap, text: str, *, option: str, skip_unknown: bool = False) -> list[str]:
    items = [text] if text in ids or "," not in text else text.split(",")
    for item in items:
        if item not in ids and not skip_unknown:
            cut = ""
            if len(items) > 1:
                commas = f"{len(items) - 1} comma{'s' * (len(items) > 2)}"
                cut = f"{text[:80]!r} is no item's id and was cut at its {commas}, blanks beside them kept; "
            advice = f"{cut}give an item whose id has commas with a {option} of its own"
            raise UnknownIdError(unknown_id(ids, item, kind="item").sentence, advice=advice)
    return items


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text too long for a name, or with a NUL in it
        return False


def _names_users(path: Path, usual: ColumnNames) -> bool:
    """Whether the first line names a column of users and one of items."""
    _, line, _ = first_line(byte_blocks(path))
    for separator in _SEPARATORS:
        header = [name.strip().strip('"') for name in line.split(separator)]
        try:
            found = find_columns(header, given=ColumnNames(), usual=usual, rating=False, where=str(path))
        except InputError:
            continue
        if not isinstance(found, str):
            return True
    return False


def _known(ids: IdMap, lines: Iterator[tuple[int, str]], path: Path, *, skip_unknown: bool) -> Iterator[int]:
    """Indices of the ids on these lines, -1 for those that are left out."""
    for number, text in lines:
        index = ids.find(text)
        if index < 0 and not skip_unknown:
            raise unknown_id(ids, text, kind="item", place=f"{path}, line {number}: ", advice=_SKIP)
        yield index
