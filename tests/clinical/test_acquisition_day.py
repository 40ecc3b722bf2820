"""The day on which a photograph was taken: from header, name and database, with or without time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.acquisition_day import is_clock_off, local_day, real_day
from fundusd.clinical.attribution import (
    Attribution,
    CaptureMetadata,
    join,
    of_header,
    of_metadata,
    settle,
)
from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.decoding import Content, MediaType

SITE = Identifiers(b"0123456789abcdef", issuer="clinic")
RECEIVED = datetime(2026, 6, 7, 10, 15, tzinfo=UTC)
DAY = date(2026, 6, 7)
OTHER_DAY = date(2026, 6, 6)
SILENT = CaptureMetadata()
MORNING = time(8, 30)

DAYS = st.sampled_from([None, DAY, OTHER_DAY])
METADATA = st.builds(CaptureMetadata, date=DAYS, time=st.sampled_from([None, MORNING]))
HEADERS = st.builds(
    Content,
    st.just(MediaType.DICOM),
    acquired_at=st.sampled_from([None, datetime(2026, 6, 7, 7), datetime(2026, 6, 6, 23)]),  # noqa: DTZ001
    acquired_day=DAYS,
)


def settled(
    by_path: CaptureMetadata, content: Content, by_row: CaptureMetadata = SILENT
) -> Attribution:
    recorded = of_metadata(join(by_path, by_row), SITE)
    return settle(recorded, of_header(content, SITE), RECEIVED, is_backlog=True)


def header(day: date | None = None, at: datetime | None = None) -> Content:
    return Content(MediaType.DICOM, acquired_at=at, acquired_day=day)


@given(METADATA, METADATA, HEADERS)
def test_a7_a_time_is_never_of_another_day_than_the_photograph(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content
) -> None:
    attributed = settled(by_path, content, by_row)
    if attributed.acquired_at is not None:
        assert attributed.acquired_day == local_day(attributed.acquired_at)


@given(METADATA, METADATA, HEADERS)
def test_a7_a_day_that_any_source_gives_is_kept_and_a_conflict_is_warned_of(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content
) -> None:
    attributed = settled(by_path, content, by_row)
    of_file = local_day(content.acquired_at) or content.acquired_day
    assert attributed.acquired_day == (of_file or by_row.date or by_path.date)
    differ = len({of_file, by_row.date, by_path.date} - {None}) > 1
    assert ("date_conflict" in attributed.warnings) == differ


def test_a7_a_date_without_a_time_is_kept() -> None:
    for attributed in (
        settled(CaptureMetadata(date=DAY), header()),
        settled(SILENT, header(), CaptureMetadata(date=DAY)),
        settled(SILENT, header(DAY)),
    ):
        assert (attributed.acquired_day, attributed.acquired_at) == (DAY, None)
        assert attributed.warnings == ()


def test_a7_the_time_of_a_name_completes_the_date_of_a_header() -> None:
    by_path = CaptureMetadata(date=DAY, time=MORNING)
    attributed = settled(by_path, header(DAY))
    assert attributed.acquired_at == datetime.combine(DAY, MORNING).astimezone(UTC)
    contradicted = settled(by_path, header(OTHER_DAY))
    assert (contradicted.acquired_day, contradicted.acquired_at) == (OTHER_DAY, None)
    assert contradicted.warnings == ("date_conflict",)


def test_a7_what_is_settled_again_stays_as_it_is() -> None:
    content = header(OTHER_DAY)
    once = settled(CaptureMetadata(date=DAY), content)
    assert settle(once, of_header(content, SITE), RECEIVED, is_backlog=True) == once


@pytest.mark.parametrize("day", [date(1, 1, 1), date(1899, 12, 31), date(1900, 1, 1)])
def test_a7_a_date_that_cameras_write_for_none_is_none(day: date) -> None:
    assert real_day(day) is None
    assert settled(CaptureMetadata(date=DAY), header(day)).acquired_day == DAY
    assert settled(CaptureMetadata(date=DAY), header(day)).warnings == ()


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=12)), timezone(-timedelta(hours=12))])
def test_the_first_day_of_the_calendar_is_no_day(zone: timezone) -> None:
    assert local_day(datetime(1, 1, 1, tzinfo=zone)) is None


@pytest.mark.parametrize(
    ("days", "is_backlog", "is_off"),
    [
        (0, False, False),
        (-2, False, False),
        (-3, False, True),
        (-3, True, False),
        (-3000, True, False),
        (1, False, True),
        (1, True, True),
    ],
)
def test_a8_a_clock_is_judged_by_the_date_where_there_is_no_time(
    days: int, *, is_backlog: bool, is_off: bool
) -> None:
    day = RECEIVED.astimezone().date() + timedelta(days=days)
    assert is_clock_off(None, day, RECEIVED, is_backlog=is_backlog) == is_off


@pytest.mark.parametrize(
    ("day", "is_off"),
    [
        (date(1970, 1, 1), True),
        (date(1980, 1, 4), True),
        (date(2000, 1, 1), True),
        (date(2010, 1, 1), True),
        (date(2000, 1, 2), False),
        (date(2019, 3, 4), False),
    ],
)
def test_a8_the_date_of_a_clock_without_a_battery_is_in_doubt_even_in_the_backlog(
    day: date, *, is_off: bool
) -> None:
    assert is_clock_off(None, day, RECEIVED, is_backlog=True) == is_off
    at = datetime.combine(day, MORNING).astimezone(UTC)
    assert is_clock_off(at, day, RECEIVED, is_backlog=True) == is_off


def test_a8_a_photograph_of_new_year_that_comes_in_time_is_not_in_doubt() -> None:
    received = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert not is_clock_off(None, date(2026, 1, 1), received, is_backlog=False)


def test_a_photograph_without_a_date_says_nothing_about_the_clock() -> None:
    assert not is_clock_off(None, None, RECEIVED, is_backlog=False)
