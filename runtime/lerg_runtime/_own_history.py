"""The history that a personal bundle keeps on its device: adding to it, taking out of it, erasing it."""

from __future__ import annotations

from datetime import datetime

from lerg_runtime._handle import BundleHandle
from lerg_runtime.bundle._ids import RawId
from lerg_runtime.pairs._items import Given
from lerg_runtime.pairs._resolved import OnUnknown
from lerg_runtime.serving import _person

__all__ = ["HistoryHandle"]


class HistoryHandle(BundleHandle):
    """What of a `Recommender` a personal bundle alone can do."""

    def observe(
        self,
        items: Given,
        *,
        when: float | datetime | None = None,
        on_unknown: OnUnknown = "raise",
    ) -> int:
        """Take note that items were touched: they count in what is recommended from now on, and as seen.

        For personal bundles. Nothing is trained. The history is in memory until `save`, and in `state.bin`
        after it. An item that is in it already moves to its new time. It keeps as many items as `manifest`
        says (`model.max_history`); the oldest go first.

        Args:
            items: one raw id, or several in the order in which they were touched.
            when: seconds since 1970, or a datetime, which counts as UTC where it has no zone; None for now.
                What is observed late finds its place among the others by this.
            on_unknown: `skip` leaves out items that the bundle does not know.

        Returns:
            How many items were noted.
        """
        return _person.observe(self._personal, items, when, on_unknown=on_unknown)

    def forget(self, items: Given) -> None:
        """Take items out of the history; those that are not in it are none the less for it.

        What was saved before keeps them until `save` writes the state again.
        """
        _person.forget(self._personal, items)

    def history(self) -> list[tuple[RawId, int]]:
        """Raw ids of the items that are kept, oldest first, and when each was touched: seconds since 1970."""
        return _person.kept(self._personal)

    def erase(self) -> None:
        """Forget the history and all added items, here and on the disk: the state is written anew, at once.

        Other files of the bundle never hold any of it. What a disk keeps of bytes that no file has any more
        is the disk's own matter.

        Raises:
            OSError: the state cannot be written; the history stays.
            InputError: somebody else has saved since the bundle was opened, or the bundle is not personal.
        """
        self._personal.erase()
