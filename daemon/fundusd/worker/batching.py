"""Make batches in which all have their turn, and classify them whatever happens; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from fundusd.domain.errors import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_LONGEST_PATIENCE = 4096  # full forwards


@dataclass(slots=True)
class Batch(Generic[Item, Answer]):
    """Run `forward` over items in order, at most `limit` at a time.

    `forward` returns one answer per item or raises. OutOfMemory halves the limit, which `limit` remembers; it is
    raised on when a single item does not fit. After `patience` full forwards that went well the limit is doubled
    again, up to what it was at first; each new failure doubles the patience. One of `broken` splits the slice until
    the one bad item stands alone and its error becomes its answer; anything else is raised on.
    """

    forward: Callable[[Sequence[Item]], Sequence[Answer]]
    limit: int
    broken: tuple[type[Exception], ...] = (RuntimeError,)
    patience: int = 32
    _most: int = field(init=False)
    _wait: int = 0  # full forwards that must go well, 0 before the first failure
    _well: int = 0  # those that did since the limit last moved
    _halving: bool = (
        False  # nothing has gone well since the limit was halved: it is one failure still
    )

    def __post_init__(self) -> None:
        """Remember the limit that is never passed."""
        self._most = self.limit

    def run(self, items: Sequence[Item]) -> list[Answer | Exception]:
        """Return one answer, or the error that item alone causes, per item; raises OutOfMemory."""
        answers: list[Answer | Exception] = []
        while len(answers) < len(items):
            start = len(answers)
            answers += self._slice(items[start : start + self.limit])
        return answers

    def _slice(self, items: Sequence[Item]) -> list[Answer | Exception]:
        expected: tuple[type[Exception], ...] = (OutOfMemory, *self.broken)
        try:
            answers = self.forward(items)
        except expected as error:
            failure = error
        else:
            self._went_well(len(items))
            return list(answers)
        # outside the except block: a traceback would keep the failed forward's memory alive
        return self._halved(items, failure)

    def _halved(self, items: Sequence[Item], failure: Exception) -> list[Answer | Exception]:
        out_of_memory = isinstance(failure, OutOfMemory)
        if len(items) == 1:
            if out_of_memory:
                raise failure
            return [failure]
        middle = len(items) // 2
        if out_of_memory:
            self._halve(middle)
            return self.run(items)
        return self._slice(items[:middle]) + self._slice(items[middle:])

    def _halve(self, limit: int) -> None:
        if not self._halving:
            self._wait = min(2 * self._wait, _LONGEST_PATIENCE) or self.patience
        self.limit, self._well, self._halving = limit, 0, True

    def _went_well(self, size: int) -> None:
        self._halving = False
        if size < self.limit or self.limit == self._most:
            return  # it says nothing about twice as many, or there is nothing to win back
        self._well += 1
        if self._well >= self._wait:
            self.limit, self._well = min(2 * self.limit, self._most), 0
