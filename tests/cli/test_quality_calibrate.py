from __future__ import annotations

import random
import subprocess
import sys
import tomllib
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from PIL import Image
from tests import daemon_cases
from tests import ledger_cases as cases
from typer.testing import CliRunner

from fundusd.app import camera_settings, settings_file
from fundusd.app.open_ledger import opened_ledger
from fundusd.cli.commands import command_line
from fundusd.clinical.quality_calibration import (
    MIN_CAPTURES,
    TooFewCaptures,
    as_toml,
    calibrate,
)
from fundusd.clinical.quality_stops import MeasuredCapture
from fundusd.clinical.quality_thresholds import BOUNDS, DEFAULTS, MEASURED, Thresholds, judge
from fundusd.domain.clinical_terms import Eye, Reason, ReviewVerdict
from fundusd.ledger import Ledger
from fundusd.ledger.reviews import Review

GOOD = {
    "side_pixels": 1000.0, "luminance": 95.0, "saturated": 0.01, "field": 1.1, "glare": 0.005,
    "sharpness": 3.0, "visibility": 0.6, "haze": 0.4, "blocks": 2.0, "direction": 0.97,
    "fine_detail": 1.8, "least_detail": 0.6, "central_glare": 0.01, "lines": 0.1,
}  # fmt: skip
CAMERA = "room1"


def captures(measured: list[dict[str, float]]) -> list[MeasuredCapture]:
    return [MeasuredCapture(measures) for measures in measured]


def of_a_camera(count: int, seed: int = 1) -> list[dict[str, float]]:
    """Return measures as of a camera's captures: all good, all different."""
    rng = random.Random(seed)
    return [
        {name: value * rng.uniform(0.8, 1.2) for name, value in GOOD.items()} for _ in range(count)
    ]


def admit(ledger: Ledger, measured: list[dict[str, float]], camera: str = CAMERA) -> None:
    """Record a graded capture with each of the measures."""
    ledger.register_camera(camera)
    files = [
        cases.found(f"{number}.jpg", f"{camera}{number}", camera_id=camera)
        for number in range(len(measured))
    ]
    ledger.admit(*files)
    claims = {claim.digest: claim for claim in ledger.claim(len(files))}
    contents = [replace(cases.CONTENT_OF_JPEG, measures=measures) for measures in measured]
    pairs = zip(files, contents, strict=True)
    ledger.record([cases.finding(claims[file.digest], content) for file, content in pairs])


def test_too_few_captures_are_refused_and_counted() -> None:
    old = [{"luminance": 90.0, "saturated": 0.0}] * 100  # of a release that measured less
    with pytest.raises(
        TooFewCaptures, match=f"There are {MIN_CAPTURES - 1} captures .* {MIN_CAPTURES} are needed"
    ):
        calibrate(captures(of_a_camera(MIN_CAPTURES - 1) + old))


@settings_of_hypothesis(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 3), st.integers(MIN_CAPTURES, 80))
def test_proposals_stay_within_bounds(seed: int, scale: float, count: int) -> None:
    measured = [
        {name: value * scale for name, value in measures.items()}
        for measures in of_a_camera(count, seed)
    ]
    calibration = calibrate(captures(measured))
    for name, value in asdict(calibration.proposed).items():
        low, high = BOUNDS[name]
        assert low <= value <= high, name
    assert calibration.proposed.min_side_pixels == DEFAULTS.min_side_pixels
    assert (
        scale > 0.4 or calibration.would_stop.share > 0.9
    )  # nothing makes black pictures gradable


def test_about_the_worst_twentieth_would_be_stopped() -> None:
    hazy = [
        measures | {"visibility": 0.2 + 0.002 * (number % 200)}
        for number, measures in enumerate(of_a_camera(1000))
    ]
    calibration = calibrate(captures(hazy))
    assert 0.05 <= calibration.would_stop.share <= 0.06
    assert calibration.proposed != calibration.present


def test_where_a_fifth_is_bad_a_fifth_may_be_stopped() -> None:
    measured = of_a_camera(400)
    for number, measures in enumerate(measured[:100]):
        measures |= {"visibility": 0.041 + number / 6000, "lines": 0.0}  # up to 0.0575
    called = captures(measured[60:])
    called[:40] = [MeasuredCapture(measures, is_gradable=True) for measures in measured[60:100]]
    unable = [MeasuredCapture(measures, is_gradable=False) for measures in measured[:60]]
    calibration = calibrate([*unable, *called])
    assert calibration.stops_now.share == 0.25
    assert calibration.would_stop.share == pytest.approx(0.15)
    assert (calibration.would_stop.gradable, calibration.would_stop.ungradable) == (0, 1)
    assert [point.stopped for point in calibration.curve[:4]] == [0.0, 0.0, 0.0, 0.25]


def test_what_readers_called_ungradable_divides_the_captures() -> None:
    rng = random.Random(3)
    measured = []
    for number, measures in enumerate(of_a_camera(300)):
        if number < 40:
            poor = measures | {"visibility": rng.uniform(0.3, 0.38)}
            measured.append(MeasuredCapture(poor, is_gradable=False))
        else:
            plain = measures | {"visibility": rng.uniform(0.42, 0.7)}
            measured.append(MeasuredCapture(plain, is_gradable=True if number < 100 else None))
    calibration = calibrate(measured)
    assert (calibration.called_gradable, calibration.called_ungradable) == (60, 40)
    assert calibration.stops_now.share == 0  # by the defaults
    assert 0.3 < calibration.proposed.min_visibility <= 0.43
    assert 40 / 300 <= calibration.would_stop.share <= 0.2


def test_a_camera_without_poor_captures_keeps_to_the_bounds() -> None:
    calibration = calibrate(captures(of_a_camera(500)))
    assert calibration.proposed.min_luminance == BOUNDS["min_luminance"][1]
    assert calibration.would_stop.share == 0.05
    assert not calibration.missed_aim


def test_the_printed_table_can_be_pasted() -> None:
    proposed = calibrate(captures(of_a_camera(60))).proposed
    table = tomllib.loads(as_toml(proposed))["camera"]["quality"]
    assert (
        Thresholds(**camera_settings.QualitySettings.model_validate(table).model_dump()) == proposed
    )


def test_measures_are_those_of_a_cameras_own_present_retinas(ledger: Ledger) -> None:
    admit(ledger, of_a_camera(3))
    admit(ledger, of_a_camera(2, seed=2), camera="room2")
    changed = cases.found("0.jpg", "other bytes", camera_id=CAMERA, mtime_ns=5)
    ledger.admit(changed, cases.found("hand.jpg", "hand", camera_id=CAMERA))
    revised, hand = sorted(ledger.claim(2), key=lambda claim: claim.digest != changed.digest)
    content = replace(cases.CONTENT_OF_JPEG, measures=GOOD)
    ledger.record(
        [
            cases.refusal(revised, Reason.BLUR, content),
            cases.refusal(hand, Reason.NOT_RETINA, content),
        ]
    )

    assert ledger.measures_of(CAMERA) == captures([GOOD, *of_a_camera(3)[:0:-1]])
    assert ledger.measures_of("elsewhere") == []


def test_the_last_verdict_of_a_reader_says_whether_a_capture_was_gradable(ledger: Ledger) -> None:
    verdicts = {
        "agreed": [ReviewVerdict.AGREE],
        "ungradable": [ReviewVerdict.AGREE, ReviewVerdict.UNGRADABLE],
        "deferred": [ReviewVerdict.RETAKE, ReviewVerdict.DEFER],
        "blurred": [ReviewVerdict.UNGRADABLE],
        "unread": [],
    }
    for name in verdicts:
        content = replace(cases.CONTENT_OF_JPEG, measures=GOOD, eye=Eye.LEFT, patient_id=name)
        claim = cases.take(ledger, f"{name}.jpg", name)
        if name == "blurred":
            ledger.record([cases.refusal(claim, Reason.BLUR, content)])
        else:
            ledger.record([cases.finding(claim, content)])
    for row in cases.captures(ledger):
        for verdict in verdicts[row["patient_id"]]:
            ledger.review(Review(row["exam_id"], Eye.LEFT, verdict, "reader 1", "grader"))

    camera_id = cases.captures(ledger)[0]["camera_id"]
    called = [capture.is_gradable for capture in ledger.measures_of(camera_id)]

    assert called[::-1] == [True, False, False, False, None]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> daemon_cases.Site:
    folder = tmp_path_factory.mktemp("clinic")
    place = daemon_cases.site(folder, f"sqlite:///{folder}/fundusd.db")
    with opened_ledger(settings_file.load(place.path)) as ledger:
        ledger.upgrade()
        ledger.start(cases.release())
        admit(ledger, of_a_camera(60))
    return place


def run(place: daemon_cases.Site, *arguments: str) -> str:
    done = CliRunner().invoke(
        command_line(), ["quality", "calibrate", "--config", str(place.path), *arguments]
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_prints_a_table_and_on_how_many_captures_it_rests(
    place: daemon_cases.Site, tmp_path: Path
) -> None:
    shown = run(place, "--camera", CAMERA)
    assert shown.startswith("# room1: stops 5.0% (now 0.0%) of 60 captures\n")
    assert "# reasons: partial_field 3\n" in shown
    assert "# Paste this table below the [[camera]] section of this camera, run" in shown
    pasted = tmp_path / "fundusd.toml"
    pasted.write_text(place.path.read_text().replace("[log]", f"{shown}\n[log]"))
    assert (
        settings_file.load(pasted).camera[0].thresholds
        == calibrate(captures(of_a_camera(60))).proposed
    )

    assert "# Replace the table [camera.quality] of this camera with this one, run" in run(
        replace(place, path=pasted), "--camera", CAMERA
    )
    answer = orjson.loads(run(replace(place, path=pasted), "--camera", CAMERA, "--json"))
    assert answer["present"] == answer["proposed"] != asdict(DEFAULTS)
    assert answer["captures"] == 60


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_plot_shows_every_measure(place: daemon_cases.Site, tmp_path: Path, kind: str) -> None:
    figure = tmp_path / f"figure.{kind}"
    run(place, "--camera", CAMERA, "--plot", str(figure))
    if kind == "png":
        with Image.open(figure) as picture:
            assert picture.width > 1000
    else:
        assert figure.read_text().count('id="axes_') == len(MEASURED) + 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--camera", "x"], "there is no camera x"),
        (["--camera", CAMERA, "--plot", "a.gif"], "must end in .png or .svg or .pdf"),
    ],
)
def test_wrong_options_say_what_is_right(
    place: daemon_cases.Site, arguments: list[str], words: str
) -> None:
    done = CliRunner().invoke(
        command_line(), ["quality", "calibrate", "--config", str(place.path), *arguments]
    )
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())


def test_without_a_plot_no_plotting_library_is_imported(place: daemon_cases.Site) -> None:
    program = (
        "import sys; from fundusd.cli.commands import command_line\n"
        f"words = ['quality', 'calibrate', '--camera', 'room1', '--config', {str(place.path)!r}]\n"
        "command_line(words)(words, standalone_mode=False)\n"
        "assert not {'matplotlib', 'numpy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_a_plot_that_cannot_be_written_is_one_sentence(
    place: daemon_cases.Site, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing" / "a.png")
    arguments = ["--config", str(place.path), "--camera", CAMERA, "--plot", missing]
    done = CliRunner().invoke(command_line(), ["quality", "calibrate", *arguments])
    assert "cannot be written" in str(done.exception)


def test_each_threshold_has_its_reason() -> None:
    cases_of = {
        Reason.SMALL: {"side_pixels": 400.0},
        Reason.COMPRESSION: {"blocks": 20.0},
        Reason.TOO_DARK: {"luminance": 20.0},
        Reason.TOO_BRIGHT: {"saturated": 0.5},
        Reason.PARTIAL_FIELD: {"field": 0.5},
        Reason.ARTEFACT: {"glare": 0.2},
        Reason.BLUR: {"sharpness": 0.9},
        Reason.MEDIA_OPACITY: {"visibility": 0.02, "haze": 0.7},
        Reason.LOW_CONTRAST: {"visibility": 0.02},
    }
    assert judge(GOOD) is None
    assert judge(GOOD | {"luminance": 200.0}) is None  # vessels are visible
    assert judge(GOOD | {"visibility": 0.02, "luminance": 200.0}) is Reason.TOO_BRIGHT
    assert judge(GOOD | {"visibility": 0.02, "luminance": 35.0}) is Reason.TOO_DARK
    assert judge(GOOD | {"sharpness": 12.0, "fine_detail": 4.0}) is Reason.TOO_DARK  # noise
    assert judge(GOOD | {"direction": 0.7, "fine_detail": 0.9}) is Reason.BLUR  # shaken
    assert judge(GOOD | {"central_glare": 0.2}) is Reason.ARTEFACT
    assert judge(GOOD | {"least_detail": 0.1}) is Reason.PARTIAL_FIELD  # a lid
    assert judge(GOOD | {"sharpness": 1.4}) is None
    assert judge(GOOD | {"sharpness": 1.4, "fine_detail": 0.4}) is Reason.BLUR
    assert judge(GOOD | {"blocks": 5.0, "fine_detail": 0.0}) is Reason.COMPRESSION
    assert judge(GOOD | {"visibility": 0.25}) is None
    assert judge(GOOD | {"visibility": 0.25, "fine_detail": 0.9}) is Reason.LOW_CONTRAST
    assert judge(GOOD | {"visibility": 0.1, "lines": 0.29}) is Reason.LOW_CONTRAST
    assert judge(GOOD | {"visibility": 0.1, "lines": 0.31}) is None  # faint vessels
    strict = Thresholds(min_visibility=0.3)
    assert judge(GOOD | {"visibility": 0.1, "lines": 0.31}, strict) is Reason.LOW_CONTRAST
    assert {reason: judge(GOOD | changed) for reason, changed in cases_of.items()} == {
        reason: reason for reason in cases_of
    }


def test_the_command_says_what_readers_called_what_is_left_out_and_why_the_aim_is_missed(
    tmp_path: Path,
) -> None:
    place = daemon_cases.site(tmp_path, f"sqlite:///{tmp_path}/fundusd.db")
    dark = [measures | {"luminance": 5.0} for measures in of_a_camera(40)]
    with opened_ledger(settings_file.load(place.path)) as ledger:
        ledger.upgrade()
        ledger.start(cases.release())
        admit(ledger, [*dark, *of_a_camera(60), GOOD | {"haze": float("nan")}])  # stored as null
        exams = [row["exam_id"] for row in cases.captures(ledger)]
        for exam_id in exams:
            ledger.review(Review(exam_id, Eye.UNKNOWN, ReviewVerdict.RETAKE, "reader 1", "grader"))

    figure = tmp_path / "figure.png"
    shown = run(place, "--camera", CAMERA, "--plot", str(figure))
    answer = orjson.loads(run(place, "--camera", CAMERA, "--json"))

    assert "# room1: stops 40.0% (now 40.0%) of 100 captures\n" in shown
    assert "# 1 more lack a measure and are left out\n" in shown
    assert "# of 100 that readers could not grade: stops 40.0% (now 40.0%)\n" in shown
    assert "# This is not 5 to 20 %. The loosest thresholds that the settings allow" in shown
    assert answer["left_out"] == 1
    assert answer["would_stop"] == {
        "share": 0.4, "gradable": None, "ungradable": 0.4, "reasons": {"too_dark": 40},
    }  # fmt: skip
    assert figure.stat().st_size > 0
