"""fundusd worklist, person, review and report as their users type them."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests import daemon_cases
from tests import ledger_cases as cases
from tests.cli.test_commands import RunCommand, fundusd, place

from fundusd.cli import person
from fundusd.clinical.pseudonyms import patient_key
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, EyeSource, Reason
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["fundusd", "place"]  # fixtures

NO_DR, MODERATE, PDR = (
    (5.0, 0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 5.0, 0.0, 0.0),
    (0.0, 0.0, 0.0, 0.0, 5.0),
)
CORRECTIONS = ("eye", "exclude", "include", "belongs", "absent", "present", "join", "part")
KEY = patient_key(cases.SITE_KEY, None, "PATIENT-7")
KEYS = [KEY, patient_key(cases.SITE_KEY, None, "PHANTOM-8")]


@pytest.fixture
def clinic(place: daemon_cases.Site) -> daemon_cases.Site:
    """Set up a site with two persons: PDR in one eye; a moderate and an ungradable eye."""
    with closing(Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=cases.SITE_KEY)) as ledger:
        ledger.start(cases.release())
        ledger.register_camera(cases.CAMERA)
        classify(ledger, "7_R.jpg", "PATIENT-7", Eye.RIGHT, PDR)
        classify(ledger, "7_L.jpg", "PATIENT-7", Eye.LEFT, NO_DR)
        classify(ledger, "8_R.jpg", "PHANTOM-8", Eye.RIGHT, MODERATE)
        content = replace(
            cases.CONTENT_OF_JPEG,
            patient_id="PHANTOM-8",
            eye=Eye.LEFT,
            eye_source=EyeSource.LATERALITY,
        )
        ledger.record(
            [cases.refusal(cases.take(ledger, "8_L.jpg", "8_L"), Reason.TOO_DARK, content)]
        )
    return place


def classify(ledger: Ledger, name: str, patient: str, eye: Eye, logits: Sequence[float]) -> None:
    content = replace(
        cases.CONTENT_OF_JPEG, patient_id=patient, eye=eye, eye_source=EyeSource.LATERALITY
    )
    ledger.record([cases.finding(cases.take(ledger, name, name), content, logits)])


def answer(fundusd: RunCommand, clinic: daemon_cases.Site, *words: str) -> Any:
    ended = fundusd(*words, "--json", "--config", clinic.path)
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@pytest.mark.parametrize(
    "command",
    ["worklist", "person", "review list", "review record", "follow-up list", "follow-up close"]
    + [f"correct {name}" for name in CORRECTIONS]
    + [f"report {name}" for name in ("quality", "classes", "drift", "turnaround", "agreement")],
)
def test_each_command_explains_itself_with_an_example(fundusd: RunCommand, command: str) -> None:
    ended = fundusd(*command.split(), "--help")
    assert (ended.code, f"fundusd {command}" in ended.out, "Example" in ended.out) == (
        0,
        True,
        True,
    )


@pytest.mark.parametrize("command", ["worklist", "review list"])
def test_the_worklist_shows_the_worst_first(
    fundusd: RunCommand, clinic: daemon_cases.Site, command: str
) -> None:
    rows = answer(fundusd, clinic, *command.split())
    assert [(row["eye"], row["urgency"]) for row in rows] == [("R", 24), ("R", 22), ("L", 10)]
    ended = fundusd(*command.split(), "--config", clinic.path)
    assert ended.code == 0
    for part in ("PATIENT-7", "PDR", "Moderate DR", "Too dark", "retake", SAFETY_WORDS):
        assert part in ended.out


def test_the_worklist_can_be_cut_and_comes_as_csv(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    assert answer(fundusd, clinic, "worklist", "--camera", "room1") == []
    assert len(answer(fundusd, clinic, "worklist", "--camera", cases.CAMERA, "--limit", "2")) == 2
    rows = list(
        csv.DictReader(io.StringIO(fundusd("worklist", "--csv", "--config", clinic.path).out))
    )
    assert [row["grade_label"] for row in rows] == ["PDR", "Moderate DR", ""]
    assert fundusd("worklist", "--csv", "--json", "--config", clinic.path).code == 2


@pytest.mark.parametrize(
    "key", [KEY, str(KEY)[:12], "PATIENT-7"], ids=["key", "its start", "identifier"]
)
def test_a_person_is_found_by_key_or_identifier(
    fundusd: RunCommand, clinic: daemon_cases.Site, key: str
) -> None:
    history = answer(fundusd, clinic, "person", key)
    assert (history["patient_key"], history["patient_id"]) == (KEY, "PATIENT-7")
    assert [
        (row["final_referable"], row["right_grade"], row["left_grade"]) for row in history["exams"]
    ] == [("yes", 4, 0)]
    assert [row["eye"] for row in history["eyes"]] == ["R", "L"]
    ended = fundusd("person", key, "--config", clinic.path)
    for part in ("Exams", "Eyes", "PDR", SAFETY_WORDS):
        assert part in ended.out
    assert "Readings" not in ended.out


@pytest.mark.parametrize("key", ["SMITH-JANE", "0" * 12, str(KEY)[:11]])
def test_nobody_is_found_by_another_key_and_the_sentence_names_nobody(
    fundusd: RunCommand, clinic: daemon_cases.Site, key: str
) -> None:
    ended = fundusd("person", key, "--config", clinic.path)
    assert (ended.code, "No person has" in ended.err, key in ended.err) == (2, True, False)
    assert "fundusd worklist" in ended.err


def test_an_identifier_that_two_persons_have_asks_for_the_key(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    with closing(
        Ledger(f"sqlite:///{clinic.folder}/fundusd.db", site_key=cases.SITE_KEY)
    ) as ledger:
        content = replace(cases.CONTENT_OF_JPEG, patient_id="PATIENT-7", eye=Eye.RIGHT)
        ledger.start(cases.release())
        for issuer in ("here", "elsewhere"):
            finding = cases.finding(
                cases.take(ledger, f"{issuer}.jpg", issuer), replace(content, issuer=issuer)
            )
            ledger.record([finding])
        keys = [ledger.identifiers.key(issuer, "PATIENT-7") for issuer in ("here", "elsewhere")]
    ended = fundusd("person", "PATIENT-7", "--config", clinic.path)
    assert (ended.code, "2 people" in ended.err) == (2, True)
    for key in keys:
        assert str(key)[:12] in ended.err


def test_a_review_is_written_down_and_leaves_the_worklist(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    exam = str(answer(fundusd, clinic, "worklist")[0]["exam_id"])
    ended = fundusd(
        "review", "record", exam, "r", "agree", "--reader", "lee", "--config", clinic.path
    )
    assert ended.code == 0, ended.err
    assert "Referable diabetic retinopathy" in ended.out
    assert len(answer(fundusd, clinic, "worklist")) == 2
    [review] = answer(fundusd, clinic, "person", "PATIENT-7")["reviews"]
    assert (review["verdict"], review["role"], review["grade"], review["is_latest"]) == (
        "agree",
        "grader",
        4,
        True,
    )
    assert review["reviewer"] == "lee"
    assert "agree" in fundusd("person", "PATIENT-7", "--config", clinic.path).out


def test_an_override_takes_grade_and_reason(fundusd: RunCommand, clinic: daemon_cases.Site) -> None:
    words = ("--reader", "okafor", "--blinded", "--grade", "1")
    exam = str(answer(fundusd, clinic, "worklist")[0]["exam_id"])
    refused = fundusd("review", "record", exam, "R", "override", *words, "--config", clinic.path)
    assert (refused.code, "needs a reason" in refused.err) == (2, True)
    after = answer(
        fundusd,
        clinic,
        "review",
        "record",
        exam,
        "R",
        "override",
        *words,
        "--reason",
        "false_lesion",
    )
    assert after == {"exam_id": int(exam), "referable": "no", "is_reviewed": False}
    [review] = answer(fundusd, clinic, "person", "PATIENT-7")["reviews"]
    assert (review["reviewer"], review["blinded"], review["grade"]) == ("okafor", True, 1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("99", "R", "agree"), "There is no exam 99"),
        (("1", "U", "agree"), "has no result for eye U"),
        (("1", "R", "agree", "--capture", "99"), "Capture 99 is not a photograph of"),
    ],
)
def test_a_review_of_what_there_is_not_is_refused(
    fundusd: RunCommand, clinic: daemon_cases.Site, words: tuple[str, ...], sentence: str
) -> None:
    ended = fundusd("review", "record", *words, "--reader", "lee", "--config", clinic.path)
    assert (ended.code, sentence in ended.err) == (2, True)


def test_the_review_of_two_visits_shows_what_changed(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    cases_path = f"sqlite:///{clinic.folder}/fundusd.db"
    with closing(Ledger(cases_path, site_key=cases.SITE_KEY)) as ledger:
        cases.execute(ledger, "UPDATE exam SET day = '2020-01-01', key = 'earlier' WHERE id = 1")
        cases.execute(
            ledger,
            "UPDATE eye_result SET grade = 1, final_grade = 1 WHERE exam_id = 1 AND eye = 'R'",
        )
        ledger.start(cases.release())
        classify(ledger, "7_R_again.jpg", "PATIENT-7", Eye.RIGHT, PDR)
    history = answer(fundusd, clinic, "person", "PATIENT-7")
    assert [(row["eye"], row["change"]) for row in history["progression"]] == [("R", 3)]
    assert "+3" in fundusd("person", "PATIENT-7", "--config", clinic.path).out


def test_a_visit_without_a_grade_is_shown_as_such() -> None:
    row = {"exam_id": 2, "eye": "R", "day": "2026-01-02", "grade": None, "change": None}
    row |= {"before_day": "2025-01-02", "before_grade": 0, "same_release": True}
    cells = person._change(row)
    assert (cells["from"], cells["to"]) == ("2025-01-02, grade 0", "2026-01-02, no grade")
    assert cells["change"] == ""


REPORTS = {
    "quality": "ungradable_share",
    "classes": "referable_share",
    "drift": "severity",
    "turnaround": "median_ms",
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_comes_as_table_json_and_picture(
    fundusd: RunCommand, clinic: daemon_cases.Site, tmp_path: Path, name: str
) -> None:
    rows = answer(fundusd, clinic, "report", name)
    assert len(rows) == 1
    assert rows[0][REPORTS[name]] is not None
    picture = tmp_path / f"{name}.svg"
    ended = fundusd("report", name, "--since", "2w", "--plot", picture, "--config", clinic.path)
    assert (ended.code, SAFETY_WORDS in ended.out) == (0, True), ended.err
    assert REPORTS[name].replace("_", " ") in ended.out
    assert b"<svg" in picture.read_bytes()
    assert answer(fundusd, clinic, "report", name, "--since", "2199-01-01") == []
    assert (
        "nothing to show"
        in fundusd("report", name, "--since", "2199-01-01", "--config", clinic.path).out
    )


def test_the_report_of_agreement_counts_reviews(
    fundusd: RunCommand, clinic: daemon_cases.Site, tmp_path: Path
) -> None:
    assert answer(fundusd, clinic, "report", "agreement") == []
    exam = str(answer(fundusd, clinic, "worklist")[0]["exam_id"])
    assert (
        fundusd(
            "review", "record", exam, "R", "agree", "--reader", "lee", "--config", clinic.path
        ).code
        == 0
    )
    [row] = answer(fundusd, clinic, "report", "agreement")
    assert (row["readings"], row["both_refer"], row["sensitivity"], row["specificity"]) == (
        1,
        1,
        1.0,
        None,
    )
    picture = tmp_path / "agreement.png"
    ended = fundusd("report", "agreement", "--plot", picture, "--config", clinic.path)
    assert (ended.code, "100.0%" in ended.out) == (0, True), ended.err
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_plot_is_not_put_into_an_inbox_nor_under_another_suffix(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    for name in (clinic.inbox / "quality.png", clinic.folder / "quality.txt"):
        assert fundusd("report", "quality", "--plot", name, "--config", clinic.path).code == 2
        assert not name.exists()
