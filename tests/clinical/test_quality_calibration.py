from __future__ import annotations

from fundusd.clinical.quality_calibration import MeasuredCapture, calibrate
from fundusd.clinical.quality_thresholds import GOOD_VISIBILITY

GOOD = {
    "side_pixels": 1000.0, "luminance": 95.0, "saturated": 0.01, "field": 1.1, "glare": 0.005,
    "sharpness": 3.0, "visibility": 0.7, "haze": 0.4, "blocks": 2.0, "direction": 0.97,
    "fine_detail": 1.8, "least_detail": 0.6, "central_glare": 0.01, "lines": 0.0,
}  # fmt: skip


def captures(
    count: int, visibility: float = 0.7, *, is_gradable: bool | None = None
) -> list[MeasuredCapture]:
    return [MeasuredCapture(GOOD | {"visibility": visibility}, is_gradable)] * count


def test_a_photograph_of_the_good_level_is_not_stopped_without_readers() -> None:
    assert calibrate(captures(100)).proposed.min_visibility == GOOD_VISIBILITY


def test_readers_divide_the_captures_once_they_called_five_of_each_kind() -> None:
    for called, divide in ((4, GOOD_VISIBILITY), (5, 0.4)):
        measured = [
            *captures(called, 0.2, is_gradable=False),
            *captures(called, 0.4, is_gradable=True),
            *captures(101 - 2 * called),
        ]
        assert calibrate(measured).proposed.min_visibility == divide


def test_of_two_thresholds_that_divide_equally_well_the_lesser_is_proposed() -> None:
    measured = [
        *captures(5, 0.1, is_gradable=False),
        *captures(5, 0.45, is_gradable=True),
        *captures(5, 0.5, is_gradable=False),
        *captures(5, 0.6, is_gradable=True),
        *captures(80),
    ]
    assert calibrate(measured).proposed.min_visibility == 0.45


def test_what_readers_call_ungradable_stops_a_fifth_at_most() -> None:
    measured = [
        *captures(40, 0.2, is_gradable=False),
        *captures(20, 0.4, is_gradable=True),
        *captures(40),
    ]
    calibration = calibrate(measured)
    assert calibration.would_flag <= 0.2
    assert calibration.proposed.min_visibility == 0.2


def test_95_per_cent_of_the_captures_have_less_haze_than_the_limit() -> None:
    measured = [MeasuredCapture(GOOD | {"haze": 0.3 + number / 250}) for number in range(101)]
    assert calibrate(measured).proposed.max_haze == 0.68
