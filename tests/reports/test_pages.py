"""Pages and plots for staff, drawn from invented exams."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader
from tests import imaging_cases
from tests import ledger_cases as cases
from tests.exam_cases import read, reading

from fundusd.clinical.exam import Exam
from fundusd.clinical.judgement import judge
from fundusd.clinical.shot import Shot
from fundusd.domain.capture_warnings import WORDING, CaptureWarning
from fundusd.domain.clinical_terms import (
    SAFETY_WORDS,
    Eye,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewVerdict,
)
from fundusd.domain.errors import FundusdError
from fundusd.domain.exams import DayDoubt
from fundusd.reports import agreement_plot, panel, reading_words, trends, turnaround_plot, wording
from fundusd.reports.capture_page import capture_page
from fundusd.reports.exam_page import exam_page
from fundusd.reports.page import Page, drawable, text_width, wrapped
from fundusd.reports.panel import Photograph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fundusd.clinical.reading import Reading

PHANTOM = replace(cases.release(), model="fundusd/phantom-1 (not for patients)")
MEDSIGLIP = replace(cases.release(), model=wording.MEDSIGLIP)
SHOWN = Photograph(imaging_cases.retina(448, 448), "As the model saw it.")


def shot(number: int, eye: Eye, grade: Grade | None, **more: object) -> Shot:
    scores, referable = None, Referable.INDETERMINATE
    if grade is not None:
        scores = tuple(0.8 if other is grade else 0.05 for other in Grade)
        referable = Referable.YES if grade >= 2 else Referable.NO
    made = Shot(
        capture_id=number,
        camera_id="room1",
        path=f"SECRET-FOLDER/{number}.jpg",
        stem=f"SECRET-FOLDER/{number}",
        digest=cases.digest_of(str(number)),
        release_id=1,
        eye=eye,
        field=None,
        outcome=Outcome.UNGRADABLE if grade is None else Outcome.GRADED,
        reason=Reason.TOO_DARK if grade is None else None,
        grade=grade,
        referable=referable,
        scores=scores,
    )
    return replace(made, **more)  # type: ignore[arg-type]  # by name


WARNINGS = ("eye_contradicted", "patient_conflict", "text_in_surround")
RIGHT, LEFT = shot(1, Eye.RIGHT, Grade.SEVERE), shot(2, Eye.LEFT, Grade.NO_DR)


def visit(
    *shots: Shot,
    expected: Sequence[str] = (),
    readings: Mapping[Eye, Reading] | None = None,
    **more: object,
) -> Exam:
    eyes = []
    for eye in judge(shots, expected):
        if readings and eye.eye in readings:
            eyes.append(read(eye, readings[eye.eye]))
        else:
            eyes.append(eye)
    made = Exam(12, date(2026, 11, 3), "ab" * 32, "PATIENT-7", None, tuple(eyes))
    return replace(made, **more)  # type: ignore[arg-type]  # by name


def page(exam: Exam, to: Path, photograph: Photograph = SHOWN) -> PdfReader:
    exam_page(exam, dict.fromkeys(range(1, 9), photograph), {1: PHANTOM}).save(to)
    return PdfReader(to)


def drawn(exam: Exam, release: object = PHANTOM) -> str:
    """Return the text drawn for an exam; this is much faster than writing a PDF."""
    made = exam_page(exam, dict.fromkeys(range(1, 9), SHOWN), {1: release})  # type: ignore[dict-item]
    return " ".join(line.get_text() for line in made.figure.axes[0].texts)


def text(reader: PdfReader) -> str:
    """Return the text of a one-page document, without line breaks."""
    assert len(reader.pages) == 1
    return " ".join(reader.pages[0].extract_text().split())


@pytest.mark.parametrize("doubt", DayDoubt)
def test_a8_a_doubt_about_the_day_stands_beside_it(doubt: DayDoubt) -> None:
    made = drawn(visit(RIGHT, LEFT, day_doubt=doubt))
    assert ("3 November 2026 (" in made) == bool(doubt)
    assert doubt.wording in " ".join(made.split())


def test_a_visit_is_one_page_with_both_eyes_the_right_one_on_the_left(tmp_path: Path) -> None:
    read = page(visit(RIGHT, LEFT), tmp_path / "exam.pdf")

    shown = text(read)
    for part in (
        *(
            "PATIENT-7",
            "3 November 2026",
            "Right eye (OD)",
            "Left eye (OS)",
            "Severe DR (ICDR grade 3)",
        ),
        *(
            "The model suggests: referable diabetic retinopathy",
            "Have a human reader look at it",
            "Preliminary",
            "0.800",
            "Release 1",
        ),
        *("Good enough to grade", "Not read by a human yet.", SAFETY_WORDS),
    ):
        assert part in shown
    assert shown.index("Right eye (OD)") < shown.index("Left eye (OS)")
    assert len(read.pages[0].images) == 2


def test_the_person_is_named_only_where_the_exam_names_one(tmp_path: Path) -> None:
    shown = text(page(visit(RIGHT, LEFT, patient_id=None), tmp_path / "exam.pdf"))
    assert "key abababababab" in shown
    assert "ab" * 7 not in shown
    assert "PATIENT-7" not in shown
    stranger = visit(RIGHT, patient_id=None, patient_key=None)
    assert "not known" in drawn(stranger)


def test_no_path_stands_on_a_page() -> None:
    assert "SECRET" not in drawn(visit(RIGHT, LEFT))


def test_a_model_that_is_not_medsiglip_is_told_of_and_medsiglip_is_not() -> None:
    assert "not MedSigLIP's" in drawn(visit(RIGHT))
    assert "not MedSigLIP's" not in drawn(visit(RIGHT), MEDSIGLIP)


def test_a14_a_page_says_that_the_rule_is_unsafe() -> None:
    warning = "By the rule icdr>=4/argmax, a photograph"
    assert warning in drawn(visit(RIGHT), replace(MEDSIGLIP, referable_rule="icdr>=4/argmax"))
    assert "By the rule" not in drawn(visit(RIGHT), MEDSIGLIP)


def test_the_same_visit_gives_the_same_bytes(tmp_path: Path) -> None:
    for kind in ("pdf", "svg", "png"):
        files = [tmp_path / f"{number}.{kind}" for number in (1, 2)]
        for file in files:
            exam_page(visit(RIGHT), {1: SHOWN}, {1: PHANTOM}).save(file)
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("exam", "parts"),
    [
        (visit(LEFT), ["Undecided", "Not photographed.", "Photograph the right eye."]),
        (
            visit(shot(1, Eye.RIGHT, None), LEFT),
            ["Ungradable: too dark", "right eye again while the patient"],
        ),
        (
            visit(shot(3, Eye.UNKNOWN, Grade.NO_DR, is_conflict=True)),
            [
                "Eye not known",
                "which eye capture 3 shows: the sources disagree",
                "photograph the eye that is still",
            ],
        ),
        (visit(RIGHT, LEFT, expected=["macula"]), ["Photograph the macula of the left eye (not"]),
        (
            visit(
                RIGHT,
                LEFT,
                readings={eye: reading(ReviewVerdict.OVERRIDE, Grade.MILD) for eye in Eye},
            ),
            [
                "Dr Okafor",
                "The model said: Severe DR (ICDR grade 3), referable.",
                "Nothing beyond",
                "says Mild DR",
            ],
        ),
        (
            visit(
                RIGHT,
                LEFT,
                readings={eye: reading(ReviewVerdict.AGREE, Grade.SEVERE) for eye in Eye},
            ),
            ["Refer to an eye specialist.", "A human has read every eye", "agrees with the model"],
        ),
        (
            visit(RIGHT, readings={Eye.RIGHT: reading(ReviewVerdict.DEFER)}),
            ["has put it off", "Preliminary"],
        ),
        (
            visit(RIGHT, readings={Eye.RIGHT: reading(ReviewVerdict.RETAKE)}),
            ["asks for another", "a reader asks for another photograph"],
        ),
        (
            visit(
                RIGHT,
                readings={
                    Eye.RIGHT: reading(
                        ReviewVerdict.UNGRADABLE, is_blinded=True, reason="poor_image"
                    )
                },
            ),
            [
                "without seeing the model's result: finds it ungradable (poor image)",
                "examined in another way",
            ],
        ),
    ],
)
def test_the_page_says_what_to_do_next(exam: Exam, parts: list[str]) -> None:
    shown = drawn(exam)
    for part in parts:
        assert part in shown


def test_the_sentence_stands_in_the_picture_s_place(tmp_path: Path) -> None:
    read = page(
        visit(RIGHT, LEFT), tmp_path / "exam.pdf", Photograph(None, "Not shown: the file is gone.")
    )
    assert text(read).count("Not shown: the file is gone.") == 2
    assert not read.pages[0].images


@pytest.mark.parametrize("is_known", [True, False])
def test_whatever_stands_on_a_page_stays_clear_of_its_foot(is_known: bool) -> None:
    crowded = visit(
        *(
            replace(eye, camera_id="x" * 64, field="macula", warnings=WARNINGS, path="y" * 200)
            for eye in (RIGHT, LEFT)
        ),
        shot(3, Eye.UNKNOWN, None, warnings=WARNINGS),
        expected=["macula", "disc"],
        readings={
            eye: reading(ReviewVerdict.DEFER, reviewer="Maximiliane " * 6, is_blinded=True)
            for eye in Eye
        },
        patient_id="0123456789" * 20,
    )
    if not is_known:
        crowded = replace(crowded, patient_key=None, patient_id=None)
    made = exam_page(crowded, dict.fromkeys(range(1, 4), SHOWN), {1: PHANTOM})
    written = made.figure.axes[0].texts
    *_, foot = (line for line in written if line.get_text() == SAFETY_WORDS)
    top = foot.get_position()[1] - 14
    low = [line.get_text() for line in written if line.get_position()[1] > top]
    assert "HUMAN READER" in [line.get_text() for line in written]
    assert low[0] == SAFETY_WORDS
    assert low[1].startswith("Scores run")
    assert low[2].startswith("Release 1")
    assert len(low) == 4


@given(st.text(max_size=80), st.sampled_from([6.5, 8.0, 12.0]))
def test_broken_lines_fit_and_lose_no_letter(words_of: str, size: float) -> None:
    lines = wrapped(words_of, 60, size)
    assert "".join("".join(lines).split()) == "".join(drawable(words_of).split())
    assert all(text_width(line, size) <= 60 or len(line) == 1 for line in lines)


def test_what_the_face_has_no_glyph_for_is_written_as_an_escape_never_as_a_box() -> None:
    assert drawable("Ünï-Ω-$x_2$") == "Ünï-Ω-$x_2$"
    assert drawable("李\u202e\n") == "\\u674e\\u202e\\n"


def test_every_reason_and_every_verdict_has_words() -> None:
    for reason in Reason:
        assert "_" not in wording.quality(reason.outcome, reason)
    for verdict, grade in product(ReviewVerdict, [None, *Grade]):
        assert reading_words.in_words(reading(verdict, grade)).endswith(".")


def test_every_wording_of_a_warning_is_the_end_of_a_sentence() -> None:
    for warning, words in WORDING.items():
        assert warning in CaptureWarning
        assert words[0].islower()
        assert words[-1].isalpha()
        assert "_" not in words


def test_a_card_is_as_high_as_its_words(tmp_path: Path) -> None:
    (eye,) = visit(RIGHT).eyes
    short = capture_page(panel.of_eye(eye, SHOWN), {"Patient": "not known"}, {1: PHANTOM})
    long = capture_page(
        replace(panel.of_eye(eye, SHOWN), steps=["word " * 300]), {"Patient": "x"}, {1: PHANTOM}
    )
    assert short.height < long.height
    short.save(tmp_path / "card.PNG")
    with Image.open(tmp_path / "card.PNG") as picture:
        assert picture.width == 1240


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(FundusdError, match="cannot be written"):
        Page(100, 100).save(tmp_path / "none" / "page.pdf")


WEEKS = ["2026-W01", "2026-W02", "2026-W05", "2026-W53"]
QUALITY = [
    trends.QualityWeek(week, camera, 40, 5 + n)
    for n, week in enumerate(WEEKS)
    for camera in ("a", "$b_1$")
]
MIX = [trends.ClassWeek(week, (9, 3, 2, 1, 0)) for week in WEEKS] + [
    trends.ClassWeek("2026-W06", (0, 0, 0, 0, 0))
]
DRIFT = [trends.DriftWeek(week, grade, 0.2, 0.1, 0.3) for week in WEEKS for grade in Grade]
DAYS = [
    turnaround_plot.TurnaroundDay(date(2026, 1, 5) + timedelta(n), 3.0, 20.0 * n + 20)
    for n in range(20)
]
AGREED = [
    agreement_plot.Agreement(model, reader, 3)
    for model, reader in product([*Grade, None], repeat=2)
]


@pytest.mark.parametrize("count", [None, 1, 0])
def test_plots_are_drawn_of_many_rows_of_one_and_of_none(count: int | None, tmp_path: Path) -> None:
    plots = [tmp_path / f"{number}.svg" for number in range(5)]
    trends.plot_quality(QUALITY[:count], plots[0])
    trends.plot_class_mix(MIX[:count], plots[1])
    trends.plot_drift(DRIFT[:count], plots[2], "middle half")
    turnaround_plot.plot_turnaround(DAYS[:count], plots[3])
    agreement_plot.plot_agreement(AGREED[:count], plots[4])
    for plot in plots:
        assert (
            "There is nothing to show" in plot.read_text() or count != 0
        )  # matplotlib keeps the words as comments


def test_plots_say_what_is_seen_in_words(tmp_path: Path) -> None:
    def seen() -> str:
        return text(PdfReader(tmp_path / "plot.pdf"))

    trends.plot_quality(QUALITY, tmp_path / "plot.pdf")
    for part in (
        SAFETY_WORDS,
        "Highest in 2026-W53",
        "20% of 40",
        "$b_1$: 16% of 160 captures",
        "share ungradable",
    ):
        assert part in seen()
    turnaround_plot.plot_turnaround(DAYS, tmp_path / "plot.pdf")
    for part in ("Slowest: 24 January 2026, 95% within 7 min", "half within 3.0 s", "1 min"):
        assert part in seen()
    agreement_plot.plot_agreement(AGREED, tmp_path / "plot.pdf")
    for part in (
        "The same for 18 of 108 eyes",
        "referable by the reader, not by the model: 18",
        "Ungradable",
    ):
        assert part in seen()
    trends.plot_class_mix(MIX, tmp_path / "plot.pdf")
    for part in ("60 graded captures", "No DR 60%"):
        assert part in seen()


def test_a_matrix_counts_an_ungradable_eye_as_no_miss(tmp_path: Path) -> None:
    rows = [
        agreement_plot.Agreement(None, Grade.PDR, 4),
        agreement_plot.Agreement(Grade.MILD, Grade.PDR, 1),
    ]
    agreement_plot.plot_agreement(rows, tmp_path / "plot.pdf")
    assert "not by the model: 1" in text(PdfReader(tmp_path / "plot.pdf"))
