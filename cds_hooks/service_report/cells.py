"""Small cells: a count of a few patients may point at one of them, so it is not shown.

A count from 1 to below the limit is written as ``{"fewerThan": limit}``. Where the groups of one
whole are listed, a single such one could be found by subtraction; then the smallest of the others
is hidden too, as ``{"hidden": true}``: that one may be large.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cds_hooks.rates import Rate, StepTally, Tally

Key = TypeVar("Key", bound=Hashable)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cells:
    """Makes the cells of a document. ``least``: the smallest count that is shown, beside 0."""

    least: int

    def small(self, count: int) -> bool:
        """Whether a count is hidden."""
        return 0 < count < self.least

    def hidden(self, count: int) -> Json:
        """What stands in the place of a hidden figure of so many."""
        return {"fewerThan": self.least} if self.small(count) else {"hidden": True}

    def count(self, count: int) -> int | Json:
        """One count."""
        return self.hidden(count) if self.small(count) else count

    def rate(self, rate: Rate) -> Json:
        """A share, unless it, what is left of the whole, or the whole is small."""
        if any(map(self.small, (rate.count, rate.of - rate.count, rate.of))):
            return self.hidden(rate.count)
        return rate.to_json()

    def hide(self, counts: Mapping[Key, int]) -> frozenset[Key]:
        """Which groups of one whole are hidden, so that none follows from the others."""
        small = {key for key, count in counts.items() if self.small(count)}
        others = [key for key, count in counts.items() if count >= self.least]
        if len(small) == 1 and others:
            small.add(min(others, key=lambda key: counts[key]))
        return frozenset(small)

    def parts(self, counts: Mapping[str, int]) -> dict[str, int | Json]:
        """The counts of the groups of one whole."""
        hidden = self.hide(counts)
        return {
            name: self.hidden(count) if name in hidden else count for name, count in counts.items()
        }

    def shares(self, counts: Mapping[str, int]) -> dict[str, Json]:
        """The shares of the groups of one whole."""
        whole, hidden = sum(counts.values()), self.hide(counts)
        return {
            name: self.hidden(count) if name in hidden else Rate(count, whole).to_json()
            for name, count in counts.items()
        }

    def groups(self, tallies: Mapping[str, Tally] | Mapping[str, StepTally]) -> dict[str, Json]:
        """The cards of each group, with their rates."""
        hidden = self.hide({name: one.cards for name, one in tallies.items()})
        groups = {
            name: {"cards": self.hidden(one.cards)} if name in hidden else self.group(one)
            for name, one in tallies.items()
        }
        for rate in ("answered", "accepted", "overridden"):
            self._hide_a_second(groups, rate)
        return groups

    def _hide_a_second(self, groups: dict[str, Json], rate: str) -> None:
        """Where one rate is hidden, hide that of the smallest other group."""
        listed = {name: one[rate] for name, one in groups.items() if rate in one}
        open_ = [name for name, one in listed.items() if not is_hidden(one) and one["of"]]
        if sum(map(is_hidden, listed.values())) == 1 and open_:
            second = min(open_, key=lambda name: (listed[name]["of"], name))
            groups[second][rate] = self.hidden(groups[second][rate]["count"])

    def group(self, tally: Tally | StepTally) -> Json:
        """The cards of one group, with their rates."""
        rates = {name: self.rate(rate) for name, rate in tally.rates().items()}
        return {"cards": self.count(tally.cards), **rates}


def is_hidden(cell: object) -> bool:
    """Whether a cell of a document is a hidden one."""
    return isinstance(cell, Mapping) and ("fewerThan" in cell or "hidden" in cell)


def counted(items: Iterable[Any], name_of: Callable[[Any], str]) -> dict[str, int]:
    """How many items have each name, the most frequent first."""
    counts: dict[str, int] = {}
    for item in items:
        name = name_of(item)
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
