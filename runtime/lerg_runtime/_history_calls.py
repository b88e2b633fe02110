"""What a `Recommender` can be told of its person, where its bundle is personal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from lerg_runtime.bundle._ids import RawId
from lerg_runtime.pairs._resolved import OnUnknown
from lerg_runtime.serving import _person
from lerg_runtime.serving._personal import PersonalBundle

__all__ = ["HistoryCalls"]


class HistoryCalls:
    """The calls that keep one person's history. It is in memory until `save`, and in `state.bin` after it.

    All of them raise InputError where the bundle serves the users that it was made from.
    """

    @property
    def _personal(self) -> PersonalBundle:
        raise NotImplementedError

    def observe(
        self,
        items: RawId | Sequence[RawId] | np.ndarray,
        *,
        when: float | datetime | None = None,
        on_unknown: OnUnknown = "raise",
    ) -> int:
        """Take note that items were touched: they count in what is recommended from now on, and as seen.

        Nothing is trained. An item that is in the history already moves to its new time. The history keeps as
        many items as `manifest` says (`model.max_history`); the oldest go first.

        Args:
            items: one raw id, or several in the order in which they were touched.
            when: seconds since 1970, or a datetime, which counts as UTC where it has no zone; None for now.
                What is observed late finds its place among the others by this.
            on_unknown: `skip` leaves out items that the bundle does not know.

        Returns:
            How many items were noted.

        Raises:
            UnknownIdError: an item is unknown.
            InputError: `when` is no time, or the bundle is not personal.
        """
        return _person.observe(self._personal, items, when, on_unknown=on_unknown)

    def forget(self, items: RawId | Sequence[RawId] | np.ndarray) -> None:
        """Take items out of the history; those that are not in it are none the less for it.

        What was saved before keeps them until `save` writes the state again.

        Raises:
            UnknownIdError: an item is unknown.
            InputError: the bundle is not personal.
        """
        _person.forget(self._personal, items)

    def history(self) -> list[tuple[RawId, int]]:
        """What is kept: raw item ids and when each was touched last, in seconds since 1970, the oldest first.

        Raises:
            InputError: the bundle is not personal.
        """
        return _person.kept(self._personal)

    def erase(self) -> None:
        """Forget the whole history, here and on the disk: the state is written anew without it, at once.

        Other files of the bundle never hold any of it. What a disk keeps of bytes that no file has any more
        is the disk's own matter.

        Raises:
            OSError: the state cannot be written; the history stays.
            InputError: somebody else has saved since the bundle was opened, or the bundle is not personal.
        """
        self._personal.erase()
