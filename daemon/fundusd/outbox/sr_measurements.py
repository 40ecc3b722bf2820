"""The measurement groups of a structured report: the reader's, after a review, and the model's.

Only the reader's group has the codes of LOINC and SNOMED CT; the model's has codes of fundusd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundusd.domain.clinical_terms import Action
from fundusd.domain.readings import ReadingState
from fundusd.outbox import codes, document_ids, eye_values, safety_notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
    )
    from pydicom import Dataset

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.domain.clinical_terms import Grade
    from fundusd.domain.inference import Release
    from fundusd.outbox.codes import Code

_PARAMETERS = (
    "weights_digest",
    "preprocessing",
    "prompt_set",
    "prompt_digest",
    "head",
    "referable_rule",
    "quality_gate",
    "dtype",
    "runtime",
    "program_version",
)


def groups(
    exam: Exam, eye: EyeResult, release: Release, evidence: Sequence[Dataset], verdict: str
) -> Iterator[MeasurementsAndQualitativeEvaluations]:
    """Yield the groups of the model and, if the eye has a reading, of the reader.

    Once the eye has been read, the reader's group is the first. A former reading that does not
    refer the eye has none. `verdict` is the digest from which the groups' UIDs are derived.
    """
    reading = eye_values.reading(eye)
    is_first = eye.state is not ReadingState.UNREAD
    if reading is not None and is_first:
        yield _of_reader(exam, eye, reading, evidence, verdict)
    yield _group(
        f"{codes.NAMES[eye.eye]}, by the model",
        document_ids.uid_for("by-model", verdict),
        eye,
        evidence,
        [safety_notes.note([release]), *eye_values.remarks(exam, eye)],
        algorithm_id=_algorithm(release),
        measurements=_measurements(eye),
        qualitative_evaluations=list(_evaluations(_by_model(eye))),
    )
    if reading is not None and not is_first:
        yield _of_reader(exam, eye, reading, evidence, verdict)


def _of_reader(
    exam: Exam, eye: EyeResult, reading: Reading, evidence: Sequence[Dataset], verdict: str
) -> MeasurementsAndQualitativeEvaluations:
    grade = eye_values.reader_grade(eye)
    return _group(
        f"{codes.NAMES[eye.eye]}, by a reader",
        document_ids.uid_for("by-reader", verdict),
        eye,
        evidence,
        [_comment(eye, reading), *eye_values.remarks(exam, eye)],
        finding_type=_finding(grade),
        qualitative_evaluations=list(_evaluations(_by_reader(eye, reading, grade))),
    )


def _by_model(eye: EyeResult) -> Iterator[tuple[Code, Code]]:
    grade = eye_values.model_grade(eye)
    if grade is not None:
        yield codes.MODEL_SEVERITY, codes.MODEL_GRADE[grade]
    yield codes.OUTCOME, codes.private_code(eye.outcome)
    referable = eye_values.model_referable(eye)
    if referable is not None:
        yield codes.REFERABLE, codes.private_code(referable)
    if eye.reason is not None:
        yield codes.REASON, codes.private_code(eye.reason)
    if eye.action is not Action.NONE:
        yield codes.ACTION, codes.private_code(eye.action)
    for field in eye.missing_fields:
        yield codes.MISSING_FIELDS, codes.private_code(field)


def _by_reader(
    eye: EyeResult, reading: Reading, grade: Grade | None
) -> Iterator[tuple[Code, Code]]:
    if grade is not None:
        yield codes.SEVERITY_OF_EYE[eye.eye], codes.SEVERITY[grade]
    yield from eye_values.of_reading(reading)


def _comment(eye: EyeResult, reading: Reading) -> str:
    how = "without having seen" if reading.is_blinded else "having seen"
    comment = f"Read by a person ({reading.role}), {how} the model's result."
    if eye.state is ReadingState.OUTDATED:
        return f"{comment} The photographs or the result have changed since; to be read again."
    if eye.state is ReadingState.DISPUTED:
        return f"{comment} Another reader differs about the referral; a further one has to decide."
    return comment


def _algorithm(release: Release) -> AlgorithmIdentification:
    from highdicom.sr import AlgorithmIdentification
    from pydicom.sr.codedict import codes as dicom

    return AlgorithmIdentification(
        name=release.model,
        version=release.revision or release.weights_digest,
        parameters=[f"{name}: {getattr(release, name)}" for name in _PARAMETERS],
        family=dicom.cid7162.ArtificialIntelligence,
    )


def _measurements(eye: EyeResult) -> list[Measurement] | None:
    from highdicom.sr import Measurement
    from pydicom.sr.codedict import codes as dicom

    scores = eye_values.scores(eye)
    if not scores:
        return None
    measurements = []
    for name, score in zip(codes.SCORES, scores, strict=False):
        value = round(score, 6)
        measurements.append(Measurement(name=_code(name), value=value, unit=dicom.UCUM.NoUnits))
    return measurements


def _group(
    name: str,
    uid: str,
    eye: EyeResult,
    evidence: Sequence[Dataset],
    comments: Iterable[str],
    **content: Any,
) -> MeasurementsAndQualitativeEvaluations:
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        RelationshipTypeValues,
        SourceImageForMeasurementGroup,
        TextContentItem,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes as dicom

    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=uid, identifier=name),
        finding_sites=[_site(eye)],
        source_images=[SourceImageForMeasurementGroup.from_source_image(each) for each in evidence],
        **content,
    )
    for comment in comments:
        remark = TextContentItem(dicom.DCM.Comment, comment, RelationshipTypeValues.CONTAINS)
        group[0].ContentSequence.append(remark)
    return group


def _site(eye: EyeResult) -> FindingSite:
    from highdicom.sr import FindingSite

    if eye.eye not in codes.LATERALITY:
        return FindingSite(_code(codes.EYE))
    return FindingSite(_code(codes.EYE), laterality=_code(codes.LATERALITY[eye.eye]))


def _evaluations(pairs: Iterable[tuple[Code, Code]]) -> Iterator[QualitativeEvaluation]:
    from highdicom.sr import QualitativeEvaluation

    for name, value in pairs:
        yield QualitativeEvaluation(_code(name), _code(value))


def _finding(grade: Grade | None) -> Any:
    if grade is None or grade not in codes.FINDING:
        return None
    return _code(codes.FINDING[grade])


def _code(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)
