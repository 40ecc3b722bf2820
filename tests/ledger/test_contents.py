"""What bytes say of themselves is stored, without what a database cannot hold."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases

from fundusd.clinical.pseudonyms import patient_key
from fundusd.domain.clinical_terms import Eye, EyeSource, Reason
from fundusd.ledger.tables import exam, result

if TYPE_CHECKING:
    from fundusd.domain.decoding import Content
    from fundusd.ledger import Ledger


def classified(ledger: Ledger, content: Content | None) -> dict[str, object]:
    ledger.record([cases.finding(cases.take(ledger, backlog=True), content)])  # taken long ago
    assert ledger.admit(cases.found("again.dcm")) == ["reused"]  # reads the content back
    assert ledger.verify().broken_seq is None
    first, other = cases.captures(ledger)
    for name in ("patient_id", "patient_key", "acquired_at", "warnings"):
        assert first[name] == other[name]
    return first


@pytest.mark.parametrize(
    ("patient_id", "stored"),
    [
        ("P\x001", "P1"),
        ("a\\u0000b", "a\\u0000b"),  # a backslash and six letters, no NUL
        ("\\\x00", "\\"),
        ("M\udcfcller", "M\\udcfcller"),  # a byte that was no UTF-8
        ("\ud83d", "\\ud83d"),
        ("Nguyễn Thị", "Nguyễn Thị"),
        ("'; DROP TABLE job; --", "'; DROP TABLE job; --"),
        ("%s %(x)s :x", "%s %(x)s :x"),
        ("\x1b[2J\n", "\x1b[2J\n"),
    ],
)
def test_a_patient_identifier_is_stored_whatever_it_holds(
    ledger: Ledger, patient_id: str, stored: str
) -> None:
    row = classified(ledger, replace(cases.CONTENT, patient_id=patient_id))
    assert row["patient_id"] == stored
    assert row["patient_key"] == patient_key(cases.SITE_KEY, "clinic", patient_id)


def test_identifiers_of_studies_are_cleaned_as_well(ledger: Ledger) -> None:
    classified(
        ledger, replace(cases.CONTENT, study_uid="1.2\x00.3", sop_uid="\udc80", issuer="\udc80\x00")
    )
    assert [row["study_uid"] for row in cases.rows(ledger, exam)] == ["1.2.3"]


def test_captures_of_one_study_are_one_exam(ledger: Ledger) -> None:
    cases.classify(ledger, "a.dcm", "A")
    cases.classify(ledger, "b.dcm", "B")
    assert len({row["exam_id"] for row in cases.captures(ledger)}) == 1


def test_an_error_text_is_stored_whatever_it_holds(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    assert ledger.postpone(claim, Reason.TIMEOUT, "a\x00b\udc80", 0)
    (claim,) = ledger.claim(1)
    assert ledger.fail(claim, Reason.TIMEOUT, "c\x00d\udc80")
    assert cases.the_job(ledger)["error"] == "cd\\udc80"


def test_content_that_could_not_be_read_leaves_the_name_to_tell_the_eye(ledger: Ledger) -> None:
    ledger.record([cases.refusal(cases.take(ledger, "P1_OD.dcm"), Reason.WRONG_MODALITY, None)])
    (row,) = cases.captures(ledger)
    assert (row["eye"], row["eye_source"], row["media_type"]) == ("R", "name", None)


def test_content_without_an_eye_or_a_patient_stays_without(ledger: Ledger) -> None:
    row = classified(ledger, cases.CONTENT_OF_JPEG)
    assert (row["eye"], row["patient_id"], row["patient_key"]) == ("U", None, None)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 6, 7, 10, 15, 0, 250_000, tzinfo=UTC),
        datetime(2026, 6, 7, 10, 15, tzinfo=timezone(timedelta(hours=7))),
        datetime(2026, 6, 7, 10, 15),  # noqa: DTZ001  the clinic's local time, as DICOM gives it
        datetime(900, 1, 2, tzinfo=UTC),
    ],
)
def test_times_of_acquisition_are_kept_in_utc(ledger: Ledger, moment: datetime) -> None:
    row = classified(ledger, replace(cases.CONTENT, acquired_at=moment))
    assert row["acquired_at"] == moment.astimezone(UTC)
    (shown, _) = ledger.results()
    assert shown["acquired_at"] == moment.astimezone(UTC)


def test_a_time_before_all_time_does_not_stop_the_capture(ledger: Ledger) -> None:
    nowhere = datetime(
        1, 1, 1, tzinfo=timezone(timedelta(hours=7))
    )  # 00010101 is what some cameras write for none
    row = classified(ledger, replace(cases.CONTENT, acquired_at=nowhere))
    assert row["acquired_at"] is None


def test_warnings_and_measures_are_kept_with_the_result(ledger: Ledger) -> None:
    content = replace(
        cases.CONTENT, warnings=("burned_in",), measures={"sharpness": 1.5, "glare": math.nan}
    )
    row = classified(ledger, content)
    assert row["warnings"] == '["burned_in"]'
    assert '"measures":{"glare":null,"sharpness":1.5}' in cases.rows(ledger, result)[0]["content"]


@pytest.mark.parametrize(
    "logits",
    [
        (-0.0, 0.0, -0.0, 0.0, -0.0),
        (1e308, -1e308, 0.1, 5e-324, -5e-324),
        (1 / 3, 2 / 3, 0.1 + 0.2, -1e-17, 2.0**-1074),
        (1.0, 2.0, 3.0, 4.0, 5.0),
    ],
)
def test_logits_and_scores_come_back_to_the_last_bit(
    ledger: Ledger, logits: tuple[float, ...]
) -> None:
    finding = cases.finding(cases.take(ledger), logits=logits)
    ledger.record([finding])
    (row,) = cases.rows(ledger, result)
    keys = ("no_dr", "mild", "moderate", "severe", "pdr")
    assert finding.grading is not None
    assert tuple(row[f"logit_{key}"] for key in keys) == logits
    assert tuple(row[f"score_{key}"] for key in keys) == finding.grading.scores
    assert ledger.verify().broken_seq is None


def test_every_eye_and_source_is_one_the_schema_knows(ledger: Ledger) -> None:
    for number, source in enumerate(EyeSource):
        eye = Eye.UNKNOWN if source in {EyeSource.NONE, EyeSource.CONFLICT} else Eye.RIGHT
        content = replace(cases.CONTENT, eye=eye, eye_source=source)
        ledger.record([cases.finding(cases.take(ledger, f"{number}.dcm", str(number)), content)])
    assert [row["eye_source"] for row in cases.captures(ledger)] == list(EyeSource)


def test_the_level_of_quality_is_stored_with_the_result(ledger: Ledger) -> None:
    for name, visibility in (("good", 0.6), ("usable", 0.3)):
        content = replace(cases.CONTENT, measures={"visibility": visibility})
        ledger.record([cases.finding(cases.take(ledger, f"{name}.dcm", name), content)])
    for reason in (Reason.BLUR, Reason.NOT_RETINA, Reason.DECODE_ERROR):
        claim = cases.take(ledger, f"{reason}.dcm", reason)
        if reason.outcome == "failed":
            ledger.fail(claim, reason, "")
        else:
            ledger.record([cases.refusal(claim, reason)])
    levels = {row["path"]: row["quality_level"] for row in ledger.results()}
    assert levels == {
        "good.dcm": "good", "usable.dcm": "usable", "blur.dcm": "reject",
        "not_retina.dcm": None, "decode_error.dcm": None,
    }  # fmt: skip


def test_every_reason_is_one_the_schema_knows(ledger: Ledger) -> None:
    for reason in Reason:
        claim = cases.take(ledger, f"{reason}.dcm", reason)
        if reason.outcome == "failed":
            assert ledger.fail(claim, reason, "")
        else:
            assert ledger.record([cases.refusal(claim, reason)]) != [None]
    shown = {row["reason"]: row["outcome"] for row in ledger.results()}
    assert shown == {reason.value: reason.outcome.value for reason in Reason}
