"""Time cases interleaved, and report the median of each round's ratio."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit for a figure, in the figure's unit."""

    limit: float
    at_least: bool  # False: at most

    def __str__(self) -> str:
        """Return the goal as text, such as ">= 2.5"."""
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.limit:g}"

    def is_met(self, value: float) -> bool:
        """Return whether a value meets the goal.

        >>> Goal(2.5, at_least=True).is_met(2.47)
        False
        """
        if self.at_least:
            return value >= self.limit
        return value <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure: its median, lowest and highest value over the rounds."""

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
        """Return "met" or "not met", or "" without a goal."""
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
    """Return a figure from one value per round."""
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


def interleave(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run every case once per round and return its wall seconds for each round.

    Other load on the machine then affects all cases alike, so that the ratios of a round hold. The
    order rotates by one each round. Cases that need a warm-up must be called once before.
    """
    names = list(cases)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            began = perf_counter()
            cases[name]()
            seconds[name].append(perf_counter() - began)
    return seconds


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """Return the ratio of each round.

    >>> ratios([4.0, 9.0], [2.0, 3.0])
    [2.0, 3.0]
    """
    return [numerator / denominator for numerator, denominator in zip(slow, fast, strict=True)]


def rates(count: int, seconds: Sequence[float]) -> list[float]:
    """Return the items per second of each round.

    >>> rates(8, [2.0, 4.0])
    [4.0, 2.0]
    """
    return [count / duration for duration in seconds]


def milliseconds(seconds: Sequence[float]) -> list[float]:
    """Convert seconds to milliseconds."""
    return [1000 * duration for duration in seconds]
