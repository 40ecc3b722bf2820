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

from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.clinical_terms import (
    SAFETY_WORDS,
    Eye,
    Grade,
    Reason,
    Referable,
    ReviewVerdict,
)
from fundusd.outbox import structured_report
from fundusd.outbox.sender import Sender
from fundusd.outbox.sr_evidence import InvalidUidError

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.domain.delivery import SentDocument
    from fundusd.ledger.document_content import DocumentContent
    from fundusd.outbox.document_ids import Document

JARS = Path("/usr/share/java")
EXAMS = {
    "graded": cases.exam(cases.shot()),
    "no_dr": cases.exam(cases.shot(Eye.LEFT, Grade.NO_DR)),
    "ungradable": cases.exam(cases.ungraded(Reason.TOO_DARK)),
    "refused": cases.exam(cases.ungraded(Reason.UNSUPPORTED_TRANSFER_SYNTAX, Eye.UNKNOWN)),
    "deferred": cases.exam(
        cases.shot(), reading=replace(cases.AGREES, verdict=ReviewVerdict.DEFER)
    ),
    "undecided": cases.exam(cases.shot(grade=Grade.NO_DR), cases.ungraded(Reason.BLUR)),
    "warned": cases.exam(cases.shot(warnings=("grey", "clock_skew"))),
    "agreed": cases.exam(cases.shot(), reading=cases.AGREES),
    "overridden": cases.exam(cases.shot(), reading=cases.OVERRIDE),
    "unassigned": cases.exam(cases.shot(Eye.UNKNOWN, digest=ledger_cases.digest_of(Eye.RIGHT))),
    "pseudonymous": cases.exam(cases.shot(), reading=cases.OVERRIDE, patient_id=None),
}
PSEUDONYMOUS = Sender(identifiers=Identifiers(b"k" * 32, are_clear=False))


def report(exam: Exam, **changes: Any) -> Document:
    return structured_report.report(
        cases.content(exam), exam.eyes[0], [cases.header(**changes)], Sender()
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


def every(ds: pydicom.Dataset, keyword: str) -> list[pydicom.Dataset]:
    """Return the items of every sequence of a name, at any depth."""
    found: list[pydicom.Dataset] = []
    for element in ds.iterall():
        if element.keyword == keyword:
            found += element.value
    return found


def after(exam: Exam, *earlier: Exam, **changes: Any) -> DocumentContent:
    """Return the content about an exam after reports on earlier ones have been accepted."""
    remembered: list[SentDocument] = []
    for before in earlier:
        content = cases.content(before, sent=tuple(remembered))
        for eye in before.eyes:
            made = structured_report.report(content, eye, [cases.header(**changes)], Sender())
            uids = [record.identifier for record in remembered]
            remembered += [
                record for record in cases.accepted(made) if record.identifier not in uids
            ]
    return cases.content(exam, sent=tuple(remembered))


def report_of(content: DocumentContent, *headers: Any) -> pydicom.Dataset:
    sources = list(headers) or [cases.header()]
    return opened(structured_report.report(content, content.exam.eyes[0], sources, Sender()))


def photograph(number: int, study: str = cases.STUDY) -> Any:
    """Return the header of another photograph."""
    return cases.header(
        SOPInstanceUID=f"1.2.3.4.{number}", StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1"
    )


def validated(document: Document, folder: Path) -> str:
    """Return what dciodvfy says of a document; nothing where it is not installed."""
    if not shutil.which("dciodvfy"):
        return ""
    path = folder / "report.dcm"
    path.write_bytes(document.data)
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def documents() -> dict[str, Document]:
    """Return reports of every kind, by name."""
    made = {name: report(exam) for name, exam in EXAMS.items()}
    content = after(EXAMS["overridden"], EXAMS["graded"], EXAMS["agreed"])
    several = [photograph(1), photograph(2), photograph(3, "1.2.826.0.1.9")]
    kinds = {
        "amended": (content, [cases.header()]),
        "unread_again": (after(EXAMS["graded"], EXAMS["agreed"]), [cases.header()]),
        "several": (content, several),
        "eye_assigned": (after(EXAMS["graded"], EXAMS["unassigned"]), [cases.header()]),
    }
    for name, (known, sources) in kinds.items():
        made[name] = structured_report.report(known, known.exam.eyes[0], sources, Sender())
    known = cases.content(EXAMS["agreed"])
    made["pseudonymous_uids"] = structured_report.report(
        PSEUDONYMOUS.released(known), known.exam.eyes[0], several, PSEUDONYMOUS
    )
    return made


DOCUMENTS = documents()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sr")
    written = {}
    for name, document in DOCUMENTS.items():
        written[name] = folder / f"{name}.dcm"
        written[name].write_bytes(document.data)
    return written


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dciodvfy of Debian's dicom3tools")
@pytest.mark.parametrize("name", DOCUMENTS)
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

    assert output.count("Found Root Template TID_1500 (MeasurementReport)") == len(DOCUMENTS)
    assert output.count("IOD validation complete") == len(DOCUMENTS)
    assert not re.findall(r"(?i)^.*\berror\b.*$", output, re.MULTILINE)


def test_a_graded_eye_says_grade_scores_release_and_that_it_is_for_research() -> None:
    content = items(opened(report(EXAMS["graded"])))

    assert ("Severity level by the model", "model-grade-2") in content
    assert not [value for name, value in content if name == "Finding"]
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


def test_no_dr_by_a_reader_has_no_finding_of_snomed() -> None:
    reading = replace(cases.AGREES, grade=Grade.NO_DR, referable=Referable.NO)
    content = items(opened(report(cases.exam(cases.shot(Eye.LEFT), reading=reading))))

    assert ("Left eye Diabetic retinopathy severity level", "LA18643-9") in content
    assert not [value for name, value in content if name == "Finding"]


@pytest.mark.parametrize("name", ["graded", "no_dr", "deferred"])
def test_an_unread_eye_has_no_code_of_loinc_or_snomed_but_for_the_anatomy(name: str) -> None:
    ds = opened(report(EXAMS[name]))
    schemes = {
        (item.CodingSchemeDesignator, item.CodeMeaning)
        for item in every(ds, "ConceptCodeSequence")
        if item.CodingSchemeDesignator in {"LN", "SCT"}
    }

    assert {meaning for _, meaning in schemes} <= {"Eye", "Left", "Right", "Imaging procedure"}


def test_a_reading_comes_before_what_the_model_said() -> None:
    ds = opened(report(EXAMS["overridden"]))
    content = items(ds)

    severities = [value for name, value in content if "everity level" in name or name == "Finding"]
    assert severities == ["312905005", "LA18646-2", "model-grade-2"]
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
    other_content = cases.content(exam, releases={1: ledger_cases.release(2)})
    other_release = structured_report.report(
        other_content, exam.eyes[0], [cases.header()], Sender()
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
        {"Modality": "SEG"},
    ],
    ids=["nobody", "no study", "odd values", "letters", "too long", "modality"],
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
    document = structured_report.report(cases.content(exam), exam.eyes[0], [header], Sender())

    assert opened(document).PatientID == cases.PATIENT
    assert "Error" not in validated(document, tmp_path)


def test_the_qualifiers_of_the_issuer_are_sent_with_it(tmp_path: Path) -> None:
    facility, agency, qualifiers = (pydicom.Dataset() for _ in range(3))
    facility.LocalNamespaceEntityID, facility.PatientName = "EYES", "Nobody^Nell"
    agency.CodeValue, agency.CodingSchemeDesignator = "NL", "ISO3166_1"
    agency.CodeMeaning = "Netherlands"
    qualifiers.UniversalEntityID, qualifiers.UniversalEntityIDType = "1.2.3", "ISO"
    qualifiers.IdentifierTypeCode = "MR"
    qualifiers.AssigningFacilitySequence = [facility]
    qualifiers.AssigningJurisdictionCodeSequence = [agency]
    header = cases.header()
    header.IssuerOfPatientIDQualifiersSequence = [qualifiers]
    exam = EXAMS["graded"]
    document = structured_report.report(cases.content(exam), exam.eyes[0], [header], Sender())

    del facility.PatientName
    ds = opened(document)
    assert ds.IssuerOfPatientID == "PHANTOMS"
    assert list(ds.IssuerOfPatientIDQualifiersSequence) == [qualifiers]
    assert "Error" not in validated(document, tmp_path)


@pytest.mark.parametrize("patient", ["", "0000", "SOMEBODY-ELSE"])
def test_a_header_that_does_not_name_the_patient_lends_its_study_and_nothing_about_a_patient(
    patient: str, tmp_path: Path
) -> None:
    document = report(EXAMS["graded"], PatientID=patient)
    ds = opened(document)

    assert (ds.PatientID, ds.StudyInstanceUID) == (cases.PATIENT, cases.STUDY)
    for planted in ("Plantee", cases.ACCESSION, "19610203", "PHANTOMS"):
        assert planted.encode() not in document.data
    assert "Error" not in validated(document, tmp_path)


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("value", ["", "1.02.3", "not a uid"])
def test_without_a_valid_study_there_is_no_report(keyword: str, value: str) -> None:
    header = cases.header()
    header.add_new(keyword, "UI", value)
    exam = EXAMS["graded"]

    with pytest.raises(InvalidUidError, match=keyword):
        structured_report.report(cases.content(exam), exam.eyes[0], [header], Sender())


# -- versions


def test_a_report_names_the_report_that_it_replaces() -> None:
    first = report_of(after(EXAMS["graded"]))
    second = report_of(after(EXAMS["agreed"], EXAMS["graded"]))
    third = report_of(after(EXAMS["overridden"], EXAMS["graded"], EXAMS["agreed"]))

    assert "PredecessorDocumentsSequence" not in first
    for report_before, made in ((first, second), (second, third)):
        [study] = made.PredecessorDocumentsSequence
        [series] = study.ReferencedSeriesSequence
        [instance] = series.ReferencedSOPSequence
        assert study.StudyInstanceUID == report_before.StudyInstanceUID
        assert series.SeriesInstanceUID == report_before.SeriesInstanceUID
        assert instance.ReferencedSOPClassUID == report_before.SOPClassUID
        assert instance.ReferencedSOPInstanceUID == report_before.SOPInstanceUID


def test_a_repeated_report_is_the_same_to_the_byte_also_after_another_one() -> None:
    made = structured_report.report
    sources = [cases.header()]
    agreed, overridden = EXAMS["agreed"], EXAMS["overridden"]
    content = after(overridden, agreed)
    again = after(overridden, agreed, overridden)

    assert made(content, content.exam.eyes[0], sources, Sender()) == made(
        again, again.exam.eyes[0], sources, Sender()
    )


def test_a_verdict_that_returns_is_a_new_report_because_archives_keep_the_newest() -> None:
    first = report_of(after(EXAMS["agreed"]))
    returned = report_of(after(EXAMS["agreed"], EXAMS["agreed"], EXAMS["overridden"]))

    assert first.SOPInstanceUID != returned.SOPInstanceUID
    assert len(returned.PredecessorDocumentsSequence) == 1


def test_a_report_that_no_archive_has_confirmed_is_not_named_as_replaced() -> None:
    attempted = report(EXAMS["graded"]).sent
    made = report_of(cases.content(EXAMS["agreed"], sent=attempted))

    assert "PredecessorDocumentsSequence" not in made


def test_the_report_on_an_eye_replaces_the_one_on_the_unknown_eye_that_it_was() -> None:
    unassigned = report_of(after(EXAMS["unassigned"]))
    made = report_of(after(EXAMS["graded"], EXAMS["unassigned"]))

    [instance] = (
        every(made, "PredecessorDocumentsSequence")[0]
        .ReferencedSeriesSequence[0]
        .ReferencedSOPSequence
    )
    assert instance.ReferencedSOPInstanceUID == unassigned.SOPInstanceUID


def test_a_report_that_was_final_is_never_preliminary_again() -> None:
    made = report_of(after(EXAMS["graded"], EXAMS["agreed"]))

    assert (made.PreliminaryFlag, made.CompletionFlag) == ("FINAL", "PARTIAL")
    assert made.CompletionFlagDescription == "Amended: changed since it was read, not read again"
    amended = report_of(after(EXAMS["overridden"], EXAMS["agreed"]))
    assert (amended.PreliminaryFlag, amended.CompletionFlag) == ("FINAL", "COMPLETE")
    assert amended.CompletionFlagDescription == "Amended: read by a person"
    unread = report_of(after(EXAMS["graded"]))
    assert unread.CompletionFlagDescription == "Preliminary: not read by a person"


# -- evidence


def test_the_evidence_lists_every_photograph_of_the_study_and_of_others() -> None:
    headers = [photograph(1), photograph(2), photograph(3, "1.2.826.0.1.9")]
    made = report_of(cases.content(EXAMS["graded"]), *headers)

    uids = {}
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        uids[keyword] = [
            instance.ReferencedSOPInstanceUID
            for study in made[keyword].value
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        ]
    assert list(uids.values()) == [["1.2.3.4.1", "1.2.3.4.2"], ["1.2.3.4.3"]]
    images = {item.ReferencedSOPInstanceUID for item in every(made, "ReferencedSOPSequence")}
    assert images == {header.SOPInstanceUID for header in headers}


def test_a_pseudonymous_site_sends_no_uid_of_the_hospital() -> None:
    content = PSEUDONYMOUS.released(cases.content(EXAMS["agreed"]))
    headers = [photograph(1), photograph(2, "1.2.826.0.1.9")]
    made = structured_report.report(content, content.exam.eyes[0], headers, PSEUDONYMOUS)
    ds = opened(made)

    assert ds.StudyInstanceUID == content.exam.study_uid != cases.STUDY
    for header in headers:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            assert f"{header[keyword].value}".encode() + b"\0" not in made.data
    assert made == structured_report.report(content, content.exam.eyes[0], headers, PSEUDONYMOUS)


def test_warnings_that_concern_the_reader_are_comments() -> None:
    content = items(opened(DOCUMENTS["warned"]))

    assert [value for name, value in content if name == "Comment"] == [
        SAFETY_WORDS,
        "the picture has no colours",
        "the camera's clock is wrong: do not rely on the time of the photograph",
    ]
