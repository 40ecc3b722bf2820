from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.domain.files import Stat
from fundusd.watcher.settling import Settling

STAT = Stat(size=10, mtime_ns=1, ctime_ns=2, inode=3)
QUIET = 2.0
CAPACITY = 100
times = st.lists(st.floats(0, 1), min_size=1, max_size=30)
stats = st.builds(Stat, st.integers(0, 2), st.integers(0, 1), st.integers(0, 1), st.integers(0, 1))


@given(st.lists(st.tuples(stats, st.floats(0, 3)), max_size=40))
def test_a_file_settles_exactly_when_it_was_unchanged_for_the_quiet_time(
    looks: list[tuple[Stat, float]],
) -> None:
    settling = Settling(QUIET, CAPACITY)
    now = since = 0.0
    last: Stat | None = None
    for stat, pause in looks:
        now += pause
        if stat != last:
            last, since = stat, now
        expected = stat.size > 0 and now > since and now >= since + QUIET
        assert settling.observe(b"a", stat, now) is expected


@given(times)
def test_an_empty_file_never_settles_and_is_not_waited_for(pauses: list[float]) -> None:
    settling = Settling(0.1, CAPACITY)
    now = 0.0
    for pause in pauses:
        now += pause
        assert not settling.observe(b"a", STAT._replace(size=0), now)
        assert len(settling) == 0


@given(st.lists(st.integers(0, 20)), st.integers(1, 5))
def test_no_more_than_the_capacity_is_ever_held(keys: list[int], capacity: int) -> None:
    settling = Settling(QUIET, capacity)
    for now, key in enumerate(keys):
        settling.observe(bytes([key]), STAT, now)
        assert len(settling) <= capacity
        assert settling.is_full is (len(settling) == capacity)


@pytest.mark.parametrize("field", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_each_part_of_the_change_signal_restarts_the_quiet_time(field: str) -> None:
    settling = Settling(QUIET, CAPACITY)
    settling.observe(b"a", STAT, 0)
    changed = STAT._replace(**{field: 99})
    assert not settling.observe(b"a", changed, QUIET)
    assert not settling.observe(b"a", changed, QUIET + 1.9)
    assert settling.observe(b"a", changed, QUIET + QUIET)


def test_a_full_waiting_room_keeps_those_inside_and_takes_new_ones_when_half_empty() -> None:
    settling = Settling(QUIET, capacity=2)
    for key in (b"a", b"b", b"c"):
        settling.observe(key, STAT, 0)
    assert (b"a" in settling, b"c" in settling, settling.is_half_empty) == (True, False, False)
    assert settling.observe(b"a", STAT, QUIET)
    settling.forget(b"a")
    settling.forget(b"never seen")
    assert settling.is_half_empty
    settling.observe(b"c", STAT, QUIET)
    assert b"c" in settling


def test_a_file_that_was_put_last_comes_after_those_that_were_not() -> None:
    settling = Settling(QUIET, CAPACITY)
    for key in (b"a", b"b", b"c"):
        settling.observe(key, STAT, 0)
    assert [settling.put_last(b"a"), settling.put_last(b"a")] == [True, False]
    assert settling.ready(QUIET) == [b"b", b"c", b"a"]


@pytest.mark.parametrize("how", ["put last", "unreadable"])
def test_a_new_file_takes_the_place_of_one_that_was_put_last_or_is_unreadable(how: str) -> None:
    settling = Settling(QUIET, capacity=2)
    for key in (b"a", b"b"):
        settling.observe(key, STAT, 0)
    if how == "put last":
        settling.put_last(b"b")
    else:
        settling.back_off(b"b", 0)
    for key in (b"c", b"d"):
        settling.observe(key, STAT, 1)
    assert [key in settling for key in (b"a", b"b", b"c", b"d")] == [True, False, True, False]


def test_a_changed_file_keeps_its_place() -> None:
    settling = Settling(QUIET, capacity=1)
    settling.observe(b"a", STAT, 0)
    settling.back_off(b"a", 0)
    settling.observe(b"a", STAT._replace(ctime_ns=9), 1)
    settling.observe(b"b", STAT, 1)
    assert b"a" in settling


def test_what_is_ripe_and_when_the_next_will_be() -> None:
    settling = Settling(QUIET, CAPACITY)
    assert settling.next_ready_at() is None
    settling.observe(b"a", STAT, 0)
    settling.observe(b"b", STAT, 1)
    assert (
        settling.next_ready_at(),
        settling.ready(1.9),
        settling.ready(2),
        settling.ready(3),
    ) == (
        2,
        [],
        [b"a"],
        [b"a", b"b"],
    )


def test_a_held_file_counts_its_quiet_time_anew() -> None:
    settling = Settling(QUIET, CAPACITY)
    settling.observe(b"a", STAT, 0)
    settling.restart(b"a", 2)
    assert not settling.observe(b"a", STAT, 3.9)
    assert settling.observe(b"a", STAT, 4)


def test_twice_the_quiet_time_is_counted_from_the_last_change() -> None:
    settling = Settling(QUIET, CAPACITY)
    settling.observe(b"a", STAT, 0)
    assert not settling.lengthen(b"a", 2)
    assert not settling.observe(b"a", STAT, 3.9)
    assert settling.observe(b"a", STAT, 4)
    assert settling.lengthen(b"a", 4)


def test_errors_wait_twice_as_long_each_time_up_to_five_minutes() -> None:
    settling = Settling(QUIET, CAPACITY)
    settling.observe(b"a", STAT, 0)
    waits = []
    for count in range(1, 12):
        assert settling.back_off(b"a", 0) == count
        waits.append(settling.next_ready_at())
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_change_ends_the_wait_after_errors() -> None:
    settling = Settling(QUIET, CAPACITY)
    settling.observe(b"a", STAT, 0)
    for _ in range(20):
        settling.back_off(b"a", 0)
    changed = STAT._replace(ctime_ns=9)
    settling.observe(b"a", changed, 5)
    assert settling.observe(b"a", changed, 7)
    assert settling.back_off(b"a", 7) == 1
