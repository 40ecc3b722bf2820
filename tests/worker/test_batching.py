"""Each item of a batch gets its own answer, in order, whatever fails."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.domain.errors import OutOfMemory
from fundusd.worker.batching import AdaptiveBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = st.integers(min_value=0, max_value=40)
LIMITS = st.integers(min_value=1, max_value=16)
BAD = st.sets(st.integers(min_value=0, max_value=39))


class Device:
    """A model that doubles numbers, fails on some and has memory for only `memory` at a time."""

    def __init__(self, bad: set[int] | None = None, memory: int = 1000) -> None:
        self.bad = bad or set()
        self.memory = memory
        self.asked: list[list[int]] = []
        self.worked: list[int] = []  # sizes

    def forward(self, items: Sequence[int]) -> list[int]:
        self.asked.append(list(items))
        if len(items) > self.memory:
            raise OutOfMemory
        if broken := self.bad.intersection(items):
            raise RuntimeError(f"cannot double {sorted(broken)}")
        self.worked.append(len(items))
        return [2 * item for item in items]


def outcomes(answers: list[int | Exception]) -> list[int | str]:
    return [str(answer) if isinstance(answer, Exception) else answer for answer in answers]


@given(SIZES, LIMITS, BAD, st.integers(min_value=1, max_value=20))
def test_only_bad_items_are_errors_and_all_answers_are_in_order(
    size: int, limit: int, bad: set[int], memory: int
) -> None:
    device = Device(bad, memory)
    batch = AdaptiveBatch(device.forward, limit)
    answers = batch.run(range(size))
    assert outcomes(answers) == [
        f"cannot double [{item}]" if item in bad else 2 * item for item in range(size)
    ]
    assert 1 <= batch.limit <= limit
    assert sum(device.worked) == size - len(bad.intersection(range(size)))
    assert all(taken <= min(limit, memory) for taken in device.worked)


@given(SIZES, LIMITS)
def test_without_trouble_each_item_is_asked_for_once_in_full_batches(size: int, limit: int) -> None:
    device = Device()
    batch = AdaptiveBatch(device.forward, limit)
    batch.run(range(size))
    assert [item for items in device.asked for item in items] == list(range(size))
    full, rest = divmod(size, limit)
    assert device.worked == [limit] * full + [rest] * (rest > 0)


@given(st.integers(min_value=2, max_value=64), st.integers(min_value=1, max_value=64))
def test_the_batch_that_fits_in_memory_is_remembered(limit: int, memory: int) -> None:
    device = Device(memory=memory)
    batch = AdaptiveBatch(device.forward, limit, patience=1000)
    batch.run(range(limit))
    assert batch.limit <= memory
    assert batch.limit == limit or 2 * batch.limit + 1 > memory  # no smaller than halving makes it
    device.asked.clear()
    batch.run(range(limit))
    assert all(len(items) <= memory for items in device.asked)


def test_memory_that_runs_out_halves_the_batch() -> None:
    device = Device(memory=3)
    batch = AdaptiveBatch(device.forward, 16)
    assert batch.run(range(16)) == [2 * item for item in range(16)]
    assert [len(items) for items in device.asked] == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert batch.limit == 2


def test_what_was_halved_is_tried_again_after_forwards_that_went_well() -> None:
    device = Device(memory=2)
    batch = AdaptiveBatch(device.forward, 8, patience=3)
    batch.run(range(4))
    assert batch.limit == 2
    device.memory = 1000
    device.asked.clear()
    batch.run(range(32))
    assert [len(items) for items in device.asked] == [2, 4, 4, 4, 8, 8, 2]


def test_small_batches_say_nothing_about_larger_ones() -> None:
    device = Device(memory=4)
    batch = AdaptiveBatch(device.forward, 8, patience=3)
    batch.run(range(8))
    for _ in range(10):
        batch.run(range(3))
    assert batch.limit == 4


def test_each_failure_makes_the_next_trial_wait_longer() -> None:
    device = Device(memory=3)
    batch = AdaptiveBatch(device.forward, 4, patience=2)
    batch.run(range(100))
    tried = [index for index, items in enumerate(device.asked) if len(items) == 4]
    assert [after - before - 1 for before, after in itertools.pairwise(tried)] == [2, 4, 8, 16]


@given(
    st.integers(min_value=1, max_value=64),
    st.integers(min_value=1, max_value=5),
    st.lists(st.integers(min_value=1, max_value=80), max_size=30),
)
def test_however_memory_comes_and_goes_the_limit_stays_in_bounds_and_comes_back(
    limit: int, patience: int, memories: list[int]
) -> None:
    device = Device()
    batch = AdaptiveBatch(device.forward, limit, patience=patience)
    for memory in memories:
        device.memory = memory
        assert batch.run(range(limit)) == [2 * item for item in range(limit)]
        assert 1 <= batch.limit <= limit
    assert all(len(items) <= limit for items in device.asked)
    device.memory = 1000
    while batch.limit < limit:  # each trial is one of doubling: at most seven of them are missing
        before = batch.limit
        batch.run(range(before * max(1, batch._required_successes)))
        assert batch.limit > before


def test_a_single_item_that_does_not_fit_is_not_the_items_fault() -> None:
    device = Device(memory=0)
    with pytest.raises(OutOfMemory):
        AdaptiveBatch(device.forward, 4).run([1, 2, 3, 4])


def test_one_bad_item_is_found_by_halving() -> None:
    device = Device(bad={11})
    AdaptiveBatch(device.forward, 16).run(range(16))
    assert [len(items) for items in device.asked] == [16, 8, 8, 4, 2, 2, 1, 1, 4]


def test_an_error_that_is_not_expected_is_raised_on() -> None:
    def forward(items: Sequence[int]) -> list[int]:
        raise ValueError("a bug of ours")

    with pytest.raises(ValueError, match="a bug"):
        AdaptiveBatch(forward, 4).run([1, 2])


def test_errors_to_be_split_on_can_be_named() -> None:
    def forward(items: Sequence[int]) -> list[int]:
        raise ValueError(items)

    batch: AdaptiveBatch[int, int] = AdaptiveBatch(forward, 4, broken=(ValueError,))
    answers = batch.run([1, 2])
    assert all(isinstance(answer, ValueError) for answer in answers)
