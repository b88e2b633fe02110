"""`serving` of a manifest: by what people are ranked, from the tables or from what they have touched."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lerg_runtime.bundle._fields import Fields
from lerg_runtime.errors import BundleError, InputError

__all__ = ["HistoryRule", "ServingWays"]

_PRUNED = ("placeholder", "history")  # what a manifest without the key means comes first
_RETAINED = ("table", "history")
_MOST = 1e6
_MOST_RAISED = 1e3


@dataclass(frozen=True, slots=True)
class HistoryRule:
    """How a history of items becomes the row that somebody is ranked by; see docs/bundle-format.md.

    Attributes:
        ridge: weight of the identity in the metric; None for no metric.
        half_life: items after which an older one counts half as much; None where all count alike.
    """

    ridge: float | None = None
    half_life: float | None = None

    @classmethod
    def parse(cls, fields: Fields) -> HistoryRule:
        """Checked `known` or `unknown` of a manifest's `serving`.

        Raises:
            BundleError: a value that is neither null nor a number above 0.
        """

        def number(name: str) -> float | None:
            if fields.values.get(name) is None:
                return None
            return fields.number(name, least=0.0, most=_MOST, above=True)

        return cls(number("ridge"), number("half_life"))


@dataclass(frozen=True, slots=True)
class ServingWays:
    """By what people are ranked.

    Attributes:
        pruned_users: `history` ranks users who are not retained by what they have touched, `placeholder` by
            what stands for them.
        retained_users: `table` ranks retained users by the row that `encode` has made, `history` likewise.
        known: the rule for histories of users of the bundle.
        unknown: the rule for histories of people whom it does not know.
        local_counts: weight by which items are raised for how often they were touched here; 0 for none.
    """

    pruned_users: str = _PRUNED[0]
    retained_users: str = _RETAINED[0]
    known: HistoryRule = HistoryRule()
    unknown: HistoryRule = HistoryRule()
    local_counts: float = 0.0

    @classmethod
    def parse(cls, fields: Fields) -> ServingWays:
        """Checked `serving` object of a manifest.

        Raises:
            BundleError: a value that cannot be.
        """

        def way(name: str, ways: tuple[str, ...]) -> str:
            return fields.text(name, among=ways) if name in fields else ways[0]

        def rule(name: str) -> HistoryRule:
            return HistoryRule.parse(fields.inner(name)) if name in fields else HistoryRule()

        known = rule("known")
        if known.half_life is not None:
            raise BundleError(
                f"{fields.where}.known.half_life must be null: the interactions of a bundle have no order"
            )
        counted = "local_counts" in fields
        return cls(
            way("pruned_users", _PRUNED),
            way("retained_users", _RETAINED),
            known,
            rule("unknown"),
            fields.number("local_counts", least=0.0, most=_MOST_RAISED) if counted else 0.0,
        )

    def otherwise(self, *, pruned: str | None, retained: str | None) -> ServingWays:
        """The same with other ways for users of the bundle; None leaves one as it is.

        Raises:
            InputError: there is no such way.
        """
        for name, way, ways in (("pruned", pruned, _PRUNED), ("retained", retained, _RETAINED)):
            if way is not None and way not in ways:
                raise InputError(f"{name} is {way!r}; choose {' or '.join(ways)}")
        return replace(
            self,
            pruned_users=self.pruned_users if pruned is None else pruned,
            retained_users=self.retained_users if retained is None else retained,
        )

    @property
    def ridges(self) -> tuple[float, ...]:
        """Of the metrics that are needed, ascending."""
        from_history = "history" in (self.pruned_users, self.retained_users)
        rules = (self.unknown, *((self.known,) if from_history else ()))
        return tuple(sorted({rule.ridge for rule in rules if rule.ridge is not None}))
