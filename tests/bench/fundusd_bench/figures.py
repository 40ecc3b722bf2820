"""Timing that compares: cases run interleaved, and what is told is the median of each round's ratio."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure must reach, in the figure's own unit."""

    limit: float
    at_least: bool  # False: at most

    def __str__(self) -> str:
        """Show the goal as people write it."""
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"

    def is_met(self, value: float) -> bool:
        """Tell whether a value reaches the goal.

        >>> Goal(2.5, at_least=True).is_met(2.47)
        False
        """
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: the median over its rounds, and how far the rounds spread."""

    section: str  # "decode", "ledger", ...
    name: str
    unit: str  # "ms", "x", "captures/s", "MB"
    median: float
    lowest: float
    highest: float
    rounds: int
    goal: Goal | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Say whether the goal is met; empty where there is none."""
        if self.goal is None:
            return ""
        return "met" if self.goal.is_met(self.median) else "not met"


def of_rounds(
    section: str,
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    goal: Goal | None = None,
    note: str = "",
) -> Figure:
    """Make a figure of one value per round."""
    return Figure(
        section,
        name,
        unit,
        statistics.median(values),
        min(values),
        max(values),
        len(values),
        goal,
        note,
    )


def interleave(
    cases: Mapping[str, Callable[[], object]],
    rounds: int,
    on_round: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Run every case once per round, in turns, and return its wall seconds for each round.

    Whatever else the machine does then hits all cases alike, and a round's ratio still holds.
    The order turns by one each round. Call each case once before, where it has something to warm up.
    """
    names = list(cases)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            began = perf_counter()
            cases[name]()
            seconds[name].append(perf_counter() - began)
        on_round()
    return seconds


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """Divide round by round.

    >>> ratios([4.0, 9.0], [2.0, 3.0])
    [2.0, 3.0]
    """
    return [one / other for one, other in zip(slow, fast, strict=True)]
