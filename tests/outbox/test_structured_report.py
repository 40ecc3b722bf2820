"""Structured reports: their content, the patient they name, and two validators' verdicts."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
import pytest
from tests import ledger_cases
from tests.outbox import document_cases as cases

from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade, Reason, ReviewVerdict
from fundusd.outbox import structured_report
from fundusd.outbox.sr_evidence import InvalidUidError

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.outbox.document_ids import Document

JARS = Path("/usr/share/java")
EXAMS = {
    "graded": cases.exam(cases.shot()),
    "no_dr": cases.exam(cases.shot(Eye.LEFT, Grade.NO_DR)),
    "ungradable": cases.exam(cases.ungraded(Reason.TOO_DARK)),
    "refused": cases.exam(cases.ungraded(Reason.UNSUPPORTED_TRANSFER_SYNTAX, Eye.UNKNOWN)),
    "agreed": cases.exam(cases.shot(), reading=cases.AGREES),
    "overridden": cases.exam(cases.shot(), reading=cases.OVERRIDE),
    "pseudonymous": cases.exam(cases.shot(), reading=cases.OVERRIDE, patient_id=None),
}


def report(exam: Exam, **changes: Any) -> Document:
    return structured_report.report(
        exam, exam.eyes[0], cases.RELEASES[1], cases.header(**changes), cases.AT
    )


def opened(document: Document) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(document.data))


def items(ds: pydicom.Dataset) -> list[tuple[str, str]]:
    """List every item of the content tree as (what, says)."""
    content = []
    for item in ds.get("ContentSequence", ()):
        name = (
            item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
        )
        if item.ValueType == "CODE":
            coded = item.ConceptCodeSequence[0]
            content.append((name, coded.get("CodeValue") or coded.LongCodeValue))
        elif item.ValueType in {"TEXT", "PNAME", "UIDREF"}:
            content.append(
                (name, str(item.get("TextValue") or item.get("PersonName") or item.get("UID")))
            )
        elif item.ValueType == "NUM":
            content.append((name, str(item.MeasuredValueSequence[0].NumericValue)))
        content += items(item)
    return content


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sr")
    written = {}
    for name, exam in EXAMS.items():
        written[name] = folder / f"{name}.dcm"
        written[name].write_bytes(report(exam).data)
    return written


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dciodvfy of Debian's dicom3tools")
@pytest.mark.parametrize("name", EXAMS)
def test_dciodvfy_finds_no_error(name: str, files: dict[str, Path]) -> None:
    done = subprocess.run(["dciodvfy", files[name]], capture_output=True, text=True, check=False)
    output = (done.stdout + done.stderr).splitlines()

    assert "Comprehensive3DSR" in output
    assert not [line for line in output if "Error" in line]


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("javac") and (JARS / "pixelmed.jar").exists()),
    reason="needs a JDK and Debian's libpixelmed-java",
)
def test_the_validator_of_pixelmed_finds_no_error(files: dict[str, Path]) -> None:
    unlimited = [f"-Djdk.xml.xpath{kind}Limit=0" for kind in ("ExprGrp", "ExprOp", "TotalOp")]
    program = Path(__file__).with_name("Validate.java")
    command: list[str | Path] = [
        "java",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        *unlimited,
        "-cp",
        f"{JARS}/*",
        program,
    ]
    command += files.values()
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert output.count("Found Root Template TID_1500 (MeasurementReport)") == len(EXAMS)
    assert output.count("IOD validation complete") == len(EXAMS)
    assert not re.findall(r"(?i)^.*\berror\b.*$", output, re.MULTILINE)


def test_a_graded_eye_says_grade_scores_release_and_that_it_is_for_research() -> None:
    content = items(opened(report(EXAMS["graded"])))

    assert ("Right eye Diabetic retinopathy severity level", "LA18645-4") in content
    assert ("Finding", "312904009") in content
    assert ("Laterality", "24028007") in content
    assert ("To be referred, by the rule of the release", "yes") in content
    assert [number for name, number in content if name.startswith("Score of")] == [
        "0.05",
        "0.05",
        "0.8",
        "0.05",
        "0.05",
    ]
    assert ("Algorithm Name", "fundusd/phantom-1") in content
    assert ("Algorithm Version", "0" * 40) in content
    assert ("Algorithm Family", "123110") in content
    assert ("Algorithm Parameters", "prompt_set: icdr-descriptive") in content
    assert ("Comment", SAFETY_WORDS) in content
    assert ("Procedure reported", "363679005") in content


def test_an_ungradable_eye_says_why_and_what_to_do_and_no_grade() -> None:
    content = items(opened(report(EXAMS["ungradable"])))

    assert ("Why there is no grade", "too_dark") in content
    assert ("What to do next", "action-retake") in content
    assert ("To be referred, by the rule of the release", "indeterminate") in content
    assert not [
        name for name, _ in content if "severity" in name or name == "Finding" or "Score" in name
    ]


def test_no_dr_has_no_finding_of_snomed() -> None:
    content = items(opened(report(EXAMS["no_dr"])))

    assert ("Left eye Diabetic retinopathy severity level", "LA18643-9") in content
    assert not [value for name, value in content if name == "Finding"]


def test_a_reading_stands_beside_what_the_model_said() -> None:
    ds = opened(report(EXAMS["overridden"]))
    content = items(ds)

    severities = [
        value for name, value in content if name == "Right eye Diabetic retinopathy severity level"
    ]
    assert severities == ["LA18645-4", "LA18646-2"]
    assert ("What the reader says about the result", "override") in content
    assert ("Why the reader disagrees", "missed_lesion") in content
    assert ("Person Observer Name", "reader.one^") in content


def test_a_report_is_preliminary_until_a_person_has_settled_the_eye_and_never_verified() -> None:
    deferred = cases.exam(cases.shot(), reading=replace(cases.AGREES, verdict=ReviewVerdict.DEFER))
    for exam, flag in (
        (EXAMS["graded"], "PRELIMINARY"), (deferred, "PRELIMINARY"),
        (EXAMS["agreed"], "FINAL"), (EXAMS["overridden"], "FINAL"),
    ):  # fmt: skip
        ds = opened(report(exam))
        assert ds.PreliminaryFlag == flag
        assert ds.VerificationFlag == "UNVERIFIED"
        assert ds.CompletionFlag == "COMPLETE"


def test_a_report_lies_beside_its_photograph_and_holds_no_pixels() -> None:
    document = report(EXAMS["graded"])
    ds, photograph = opened(document), cases.header()

    assert ds.StudyInstanceUID == photograph.StudyInstanceUID
    assert ds.SeriesInstanceUID != photograph.SeriesInstanceUID
    assert (str(ds.PatientName), ds.PatientID, ds.AccessionNumber) == (
        cases.NAME,
        cases.PATIENT,
        cases.ACCESSION,
    )
    [study] = ds.CurrentRequestedProcedureEvidenceSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == (
        photograph.SOPInstanceUID
    )
    assert "PixelData" not in ds
    assert len(document.data) < 20_000
    assert document.name == f"{ds.SOPInstanceUID}.dcm"


def test_the_same_verdict_is_the_same_document_to_the_byte() -> None:
    assert report(EXAMS["overridden"]) == report(EXAMS["overridden"])


def test_anything_else_is_another_document_in_the_same_series() -> None:
    exam = EXAMS["graded"]
    other_release = structured_report.report(
        exam, exam.eyes[0], ledger_cases.release(2), cases.header(), cases.AT
    )
    others = [
        report(EXAMS["agreed"]),
        report(EXAMS["overridden"]),
        report(cases.exam(cases.shot(grade=Grade.PDR))),
        report(cases.exam(cases.shot(Eye.LEFT))),
        report(cases.exam(cases.shot(digest="f" * 64))),
        other_release,
    ]
    uids = {opened(document).SOPInstanceUID for document in (report(exam), *others)}
    series = {opened(document).SeriesInstanceUID for document in (report(exam), *others[:-1])}

    assert len(uids) == len(others) + 1
    assert len(series) == 1
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_a_pseudonymous_site_sends_the_key_and_nothing_that_names_anyone() -> None:
    document = report(EXAMS["pseudonymous"])
    ds = opened(document)

    assert ds.PatientID == cases.KEY
    assert not ds.PatientName
    for planted in (cases.NAME, "Plantee", cases.PATIENT, cases.ACCESSION, "19610203", "Referrer"):
        assert planted.encode() not in document.data


@pytest.mark.filterwarnings("ignore:(Invalid value|The value length)")
@pytest.mark.parametrize(
    "changes",
    [
        {"PatientName": None, "PatientID": None, "PatientSex": None, "PatientBirthDate": None},
        {"StudyDate": None, "StudyTime": None, "StudyID": None, "AccessionNumber": None},
        {
            "PatientName": "Mononym",
            "PatientSex": "X",
            "PatientBirthDate": "1961",
            "StudyTime": "9999",
        },
        {"PatientName": "Müller^Žofie", "SpecificCharacterSet": "ISO_IR 192"},
        {"AccessionNumber": "longer than sixteen letters"},
    ],
    ids=["nobody", "no study", "odd values", "letters", "too long"],
)
def test_a_header_that_lacks_or_bends_things_still_gets_a_valid_report(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    header = cases.header()
    for keyword, value in changes.items():
        if value is None:
            del header[keyword]
        else:
            setattr(header, keyword, value)
    exam = EXAMS["graded"]
    document = structured_report.report(exam, exam.eyes[0], cases.RELEASES[1], header, cases.AT)

    assert opened(document).PatientID == cases.PATIENT
    if shutil.which("dciodvfy"):
        path = tmp_path / "report.dcm"
        path.write_bytes(document.data)
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert "Error" not in done.stdout + done.stderr


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("value", ["", "1.02.3", "not a uid"])
def test_without_a_valid_study_there_is_no_report(keyword: str, value: str) -> None:
    header = cases.header()
    header.add_new(keyword, "UI", value)
    exam = EXAMS["graded"]

    with pytest.raises(InvalidUidError, match=keyword):
        structured_report.report(exam, exam.eyes[0], cases.RELEASES[1], header, cases.AT)
