"""When a job is retried, and when it is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fundusd.domain.retry_policy import MAX_ATTEMPTS, is_exhausted, wait_seconds

SCHEDULES = st.lists(st.floats(min_value=0, max_value=1e6), max_size=6)


@given(SCHEDULES)
def test_each_failed_attempt_waits_as_the_schedule_says_and_then_no_more(
    schedule: list[float],
) -> None:
    waits = [wait_seconds(attempts, schedule) for attempts in range(1, len(schedule) + 1)]
    assert waits == schedule
    assert wait_seconds(len(schedule) + 1, schedule) is None


@given(SCHEDULES, st.integers(max_value=0))
def test_a_job_that_was_never_tried_has_no_wait(schedule: list[float], attempts: int) -> None:
    assert wait_seconds(attempts, schedule) is None


def test_whole_seconds_are_seconds() -> None:
    wait = wait_seconds(1, [10])
    assert wait == 10.0
    assert isinstance(wait, float)


@given(st.integers(min_value=0, max_value=100))
def test_attempts_run_out_at_the_limit_and_stay_so(attempts: int) -> None:
    assert is_exhausted(attempts) is (attempts >= MAX_ATTEMPTS)
