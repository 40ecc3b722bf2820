"""The canary runs once a night when idle, and after 30 hours at the latest."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from fundusd.worker import canary_schedule

ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]
)
STARTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 20)).map(  # noqa: DTZ001
    lambda at: at.replace(tzinfo=UTC)
)
TICK = timedelta(minutes=10)


def proven(start: datetime, zone: str, idle: list[bool]) -> list[datetime]:
    """Return when a service that checks every ten minutes verified its model; the start counts."""
    times = [start.astimezone(ZoneInfo(zone))]
    for tick, is_idle in enumerate(idle, 1):
        now = (start + tick * TICK).astimezone(ZoneInfo(zone))
        if canary_schedule.is_due(now, times[-1], idle=is_idle):
            times.append(now)
    return times


@given(STARTS, ZONES)
def test_an_idle_service_proves_its_model_at_three_each_night(start: datetime, zone: str) -> None:
    nights = proven(start, zone, [True] * 6 * 24 * 4)[1:]
    # if summer time skips the hour of the fourth night, that one lies just past the end
    assert len(nights) in {3, 4}
    assert all(at.hour == 3 and at.minute < 10 for at in nights)


@given(STARTS, ZONES, st.lists(st.booleans(), min_size=600, max_size=600))
def test_it_is_never_put_off_for_more_than_thirty_hours_nor_done_twice_a_night(
    start: datetime, zone: str, idle: list[bool]
) -> None:
    times = proven(start, zone, idle)
    gaps = [
        after.astimezone(UTC) - before.astimezone(UTC)
        for before, after in itertools.pairwise(times)
    ]
    assert all(gap <= timedelta(hours=30) + TICK for gap in gaps)
    nights = [(at.replace(tzinfo=None) - timedelta(hours=3)).date() for at in times]
    assert len(set(nights)) == len(nights)


@given(STARTS, ZONES)
def test_a_service_that_is_never_idle_proves_it_all_the_same(start: datetime, zone: str) -> None:
    assert len(proven(start, zone, [False] * 6 * 24 * 4)) == 4


@given(STARTS, st.timedeltas(timedelta(hours=30), timedelta(days=40_000)))
def test_a_clock_that_is_set_does_not_put_it_off(start: datetime, step: timedelta) -> None:
    for now, last in ((start, start + step), (start + step, start)):
        assert canary_schedule.is_due(now, last, idle=False)
        assert canary_schedule.is_due(now, last, idle=True)
