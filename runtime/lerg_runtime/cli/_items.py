"""How commands are told of items: ids, several ids between commas, or files of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from lerg_runtime.bundle import IdMap
from lerg_runtime.errors import InputError, UnknownIdError
from lerg_runtime.interactions_file import InteractionsFile
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
    user_ids: IdMap | None,
    usual: ColumnNames,
    skip_unknown: bool,
) -> list[str] | dict[str, list[str]] | None:
    """The items of `--items` or `--exclude`, for everybody or by user; None where nothing was given.

    Args:
        ids: of the items.
        texts: as they were given: ids, several between commas, or names of files. A file has an id a line, or
            columns user and item.
        option: which of the two it is.
        user_ids: of the users that a file may name; None where it may not.
        usual: names of columns to prefer.
        skip_unknown: leave out unknown items, and take unknown users.

    Raises:
        UnknownIdError: an id is unknown.
        UsageError: a file that names users beside anything else, or where there are none.
        InputError: a file cannot be read.
    """
    if not texts:
        return None
    found: list[str] = []
    for text in texts:
        path = Path(text)
        if text in ids or not _is_file(path):
            found += _cut(ids, text, option=option, skip_unknown=skip_unknown)
        elif not _names_users(path, usual):
            found += _known(ids, id_lines(path), path, skip_unknown=skip_unknown)
        elif user_ids is None:
            raise click.UsageError(
                f"{option} {path} has items by user; without --user or --all-users give an id a line"
            )
        elif len(texts) > 1:
            raise click.UsageError(f"{option} {path} has items by user; give no other {option} beside it")
        else:
            file = InteractionsFile(path, usual=usual)
            return _by_user(ids, user_ids, file, skip_unknown=skip_unknown)
    return found


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


def _known(ids: IdMap, lines: Iterator[tuple[int, str]], path: Path, *, skip_unknown: bool) -> Iterator[str]:
    for number, text in lines:
        if text in ids:
            yield text
        elif not skip_unknown:
            raise unknown_id(ids, text, kind="item", place=f"{path}, line {number}: ", advice=_SKIP)


def _by_user(
    ids: IdMap, user_ids: IdMap, file: InteractionsFile, *, skip_unknown: bool
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for chunk in file.chunks():
        for user, item, place in zip(chunk.users, chunk.items, chunk.places, strict=True):
            for known, raw, kind in ((user_ids, user, "user"), (ids, item, "item")):
                if raw not in known and not skip_unknown:
                    raise unknown_id(known, raw, kind=kind, place=f"{chunk.source} {place}: ", advice=_SKIP)
            found.setdefault(str(user), []).extend([str(item)] if item in ids else [])
    return found
