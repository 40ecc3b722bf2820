"""Run a model over items in batches that fit into memory, and isolate items that fail; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from fundusd.domain.errors import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_MAX_PATIENCE = 4096  # full batches


@dataclass(slots=True)
class AdaptiveBatch(Generic[Item, Answer]):
    """Runs `forward` over items in order, at most `limit` items at a time.

    `forward` returns one answer per item or raises an error. On OutOfMemory, the limit is halved;
    if a single item does not fit, OutOfMemory is raised. After `patience` successful full batches,
    the limit is doubled again, up to its initial value; each further failure doubles the number of
    batches required. On an error listed in `broken`, the batch is bisected until the bad item fails
    alone, and the error becomes the answer for that item. Any other error is raised.
    """

    forward: Callable[[Sequence[Item]], Sequence[Answer]]
    limit: int
    broken: tuple[type[Exception], ...] = (RuntimeError,)
    patience: int = 32
    _max_limit: int = field(init=False)
    _required_successes: int = 0  # full batches before the limit is doubled; 0 before any failure
    _successes: int = 0  # full batches since the limit last changed
    _is_halving: bool = False  # no success since the limit was halved, so the failure is the same

    def __post_init__(self) -> None:
        """Remember the initial limit, which is never exceeded."""
        self._max_limit = self.limit

    def run(self, items: Sequence[Item]) -> list[Answer | Exception]:
        """Return an answer for each item, or the error that the item causes.

        Raises OutOfMemory if a single item does not fit into memory.
        """
        answers: list[Answer | Exception] = []
        while len(answers) < len(items):
            start = len(answers)
            answers += self._run_slice(items[start : start + self.limit])
        return answers

    def _run_slice(self, items: Sequence[Item]) -> list[Answer | Exception]:
        expected: tuple[type[Exception], ...] = (OutOfMemory, *self.broken)
        try:
            answers = self.forward(items)
        except expected as error:
            failure = error
        else:
            self._note_success(len(items))
            return list(answers)
        # outside the except block, as a traceback would keep the failed batch in memory
        return self._run_halves(items, failure)

    def _run_halves(self, items: Sequence[Item], failure: Exception) -> list[Answer | Exception]:
        out_of_memory = isinstance(failure, OutOfMemory)
        if len(items) == 1:
            if out_of_memory:
                raise failure
            return [failure]
        middle = len(items) // 2
        if out_of_memory:
            self._lower_limit(middle)
            return self.run(items)
        return self._run_slice(items[:middle]) + self._run_slice(items[middle:])

    def _lower_limit(self, limit: int) -> None:
        if not self._is_halving:
            doubled = min(2 * self._required_successes, _MAX_PATIENCE)
            self._required_successes = doubled or self.patience
        self.limit, self._successes, self._is_halving = limit, 0, True

    def _note_success(self, size: int) -> None:
        self._is_halving = False
        if size < self.limit or self.limit == self._max_limit:
            return  # a smaller batch proves nothing, and the initial limit is never exceeded
        self._successes += 1
        if self._successes >= self._required_successes:
            self.limit, self._successes = min(2 * self.limit, self._max_limit), 0
