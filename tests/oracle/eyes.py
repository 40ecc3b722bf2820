"""The sections "A photograph" and "An eye" of docs/exams.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracle.events import File

EYES = ("R", "L", "U")
RETAKE = "too_dark too_bright blur partial_field artefact not_retina field_missing"
REFER = (
    "low_contrast media_opacity small montage eye_contradicted patient_uncertain day_uncertain "
    "eye_unknown"
)
CONTACT = (
    "multiframe unsupported_transfer_syntax unsupported_photometric unsupported_pixels compression "
    "too_many_pixels too_many_bytes truncated decode_error unknown_format no_pixel_data "
    "colour_mismatch codec_mismatch file_missing file_changed file_unreadable timeout "
    "out_of_memory decoder_crashed model_error attempts_exhausted"
)
NONE = "wrong_modality redfree_or_fa"
ACTIONS = {
    **dict.fromkeys(RETAKE.split(), "retake"),
    **dict.fromkeys(REFER.split(), "refer_reader"),
    **dict.fromkeys(CONTACT.split(), "contact_it"),
    **dict.fromkeys(NONE.split(), "none"),
}
MOST_USEFUL_FIRST = ("retake", "contact_it", "refer_reader")
PATIENT_WARNINGS = frozenset({"patient_conflict", "digest_of_two_patients", "not_a_patient"})
SEVERAL_PICTURES = frozenset({"montage", "multiframe"})


@dataclass(frozen=True, slots=True)
class Placed:
    """A file that is not excluded, at the eye and the field of its photograph."""

    file: File
    eye: str
    field: str | None
    counts_as: str  # "accompanying", "referable", "doubt" or "evidence"
    doubt: str | None  # the reason of a doubt
    identity: str | None  # the identity doubt


@dataclass(frozen=True, slots=True)
class ModelResult:
    """The result of an eye before anybody has read it."""

    referable: str  # "yes", "indeterminate" or "no"
    grade: int | None
    reason: str | None
    action: str
    decisive: int
    outcome: str  # that of the decisive file
    missing_fields: tuple[str, ...]
    files: tuple[Placed, ...]
    doubts: tuple[Placed, ...]  # that are not resolved


def identity_doubt(file: File, *, is_eye_said: bool) -> str | None:
    """Return the identity doubt of a file; a person may have said the eye of its photograph."""
    if "eye_contradicted" in file.warnings and not is_eye_said:
        return "eye_contradicted"
    if file.warnings & PATIENT_WARNINGS and not file.belongs:
        return "patient_uncertain"
    if file.day_uncertain and not file.belongs:
        return "day_uncertain"
    return None


def counts_as(file: File, identity: str | None) -> tuple[str, str | None]:
    """Return what a file that is not excluded says, row by row, and the reason of a doubt."""
    if file.outcome == "refused" and ACTIONS[str(file.reason)] == "none":
        return "accompanying", identity
    if file.outcome != "graded":
        return "doubt", file.reason
    if file.referable == "yes":
        return "referable", None
    if identity is not None:
        return "doubt", identity
    return "evidence", None


def eye_of(photograph: Sequence[File]) -> str:
    """Return the eye that a person said, or that its files name; `U` if none or several.

    What was said of a file counts even if that file has been excluded since. Apart from that, an
    excluded file counts as nothing.
    """
    named = {file.eye for file in photograph if file.eye_said}
    if not named:
        asked = [file for file in photograph if not file.excluded]
        if any(file.conflict for file in asked):
            return "U"
        named = {file.eye for file in asked}
    named.discard("U")
    return named.pop() if len(named) == 1 else "U"


def field_of(photograph: Sequence[File], *, one_field: bool) -> str | None:
    """Return the field on which its files agree; not known if they name none, or different ones."""
    named = {file.field for file in photograph if file.field is not None and not file.excluded}
    if len(named) == 1:
        return named.pop()
    return "macula" if one_field and not named else None


def placed(files: Sequence[File], *, one_field: bool) -> list[Placed]:
    """All files that are not excluded, at the eye and field of their photograph."""
    photographs: dict[int, list[File]] = {}
    for file in files:
        photographs.setdefault(file.photograph, []).append(file)
    return [
        placed_file(file, together, one_field=one_field)
        for together in photographs.values()
        for file in together
        if not file.excluded
    ]


def placed_file(file: File, together: Sequence[File], *, one_field: bool) -> Placed:
    """Return a file at the eye and the field of its photograph."""
    identity = identity_doubt(file, is_eye_said=any(other.eye_said for other in together))
    field = field_of(together, one_field=one_field)
    return Placed(file, eye_of(together), field, *counts_as(file, identity), identity)


def is_evidence(placed: Placed) -> bool:
    """Say if it is evidence: a referable file is, too, unless it has an identity doubt."""
    return placed.counts_as in {"referable", "evidence"} and placed.identity is None


def is_resolved(doubt: Placed, of_eye: Sequence[Placed]) -> bool:
    """Say if the same photograph or a retake resolves a doubt.

    Only doubts of files without a grade are ever resolved, and of these only those without an
    identity doubt and with one picture.
    """
    if doubt.counts_as != "doubt" or doubt.file.outcome == "graded" or doubt.identity is not None:
        return False
    if doubt.file.reason in SEVERAL_PICTURES:
        return False
    return any(is_evidence(other) and makes_up_for(other, doubt) for other in of_eye)


def makes_up_for(evidence: Placed, doubt: Placed) -> bool:
    """Say if it is of the same photograph, of the same known field, or took its path.

    A file that was overwritten makes up for none.
    """
    if evidence.file.path_taken_by is not None:
        return False
    return (
        evidence.file.photograph == doubt.file.photograph
        or (doubt.field is not None and evidence.field == doubt.field)
        or evidence.file.number == doubt.file.path_taken_by
    )


def newest(files: Sequence[Placed]) -> Placed:
    """Return the one with the highest capture number."""
    return max(files, key=lambda placed: placed.file.number)


def highest(files: Sequence[Placed]) -> Placed:
    """Return the one with the highest grade, and among equals the newest."""
    return max(files, key=lambda placed: (grade_of(placed), placed.file.number))


def grade_of(placed: Placed) -> int:
    """Return the grade of a file, below all grades if it has none."""
    return -1 if placed.file.grade is None else placed.file.grade


def deciding_doubt(doubts: Sequence[Placed]) -> Placed:
    """Return the one with the most useful action, and among equal actions the newest file."""
    for action in MOST_USEFUL_FIRST:
        same = [doubt for doubt in doubts if ACTIONS[str(doubt.doubt)] == action]
        if same:
            return newest(same)
    raise AssertionError(doubts)


def unresolved_doubts(of_eye: Sequence[Placed]) -> list[Placed]:
    """Return the doubts that remain; an accompanying file with an identity doubt is one, too."""
    return [
        placed for placed in of_eye if placed.doubt is not None and not is_resolved(placed, of_eye)
    ]


def shows_only_the_disc(of_eye: Sequence[Placed]) -> bool:
    """Say if all files show the disc, those left out that accompany or have failed."""
    return {
        placed.field
        for placed in of_eye
        if placed.counts_as != "accompanying" and placed.file.outcome != "failed"
    } == {"disc"}


def required_fields(of_eye: Sequence[Placed], expected: tuple[str, ...]) -> tuple[str, ...]:
    """Return the expected fields, and the macula of an eye of which only the disc was seen."""
    only_disc = {placed.field for placed in of_eye if is_evidence(placed)} == {"disc"}
    if only_disc or shows_only_the_disc(of_eye):
        return (*dict.fromkeys((*expected, "macula")),)
    return expected


def decided(
    eye: str, of_eye: Sequence[Placed], doubts: Sequence[Placed], required: tuple[str, ...]
) -> tuple[str, int | None, str | None, str, Placed]:
    """Return the six rows of the table; the first one that applies decides."""
    referable = [placed for placed in of_eye if placed.counts_as == "referable"]
    evidence = [placed for placed in of_eye if is_evidence(placed)]
    if referable:
        return "yes", grade_of(highest(of_eye)), None, "none", highest(referable)
    if doubts:
        doubt = deciding_doubt(doubts)
        return "indeterminate", None, doubt.doubt, ACTIONS[str(doubt.doubt)], doubt
    last = newest(of_eye)
    if set(required) - {placed.field for placed in evidence}:
        return "indeterminate", None, "field_missing", "retake", last
    if not evidence:
        return "indeterminate", None, last.file.reason, "refer_reader", last
    if eye == "U":
        return "indeterminate", None, "eye_unknown", "refer_reader", last
    best = highest(evidence)
    return "no", best.file.grade, None, "none", best


def result_of_eye(eye: str, of_eye: Sequence[Placed], expected: tuple[str, ...]) -> ModelResult:
    """Return the model's result of an eye, with the fields that nobody photographed."""
    doubts = unresolved_doubts(of_eye)
    required = required_fields(of_eye, expected)
    referable, grade, reason, action, decisive = decided(eye, of_eye, doubts, required)
    taken = {placed.field for placed in of_eye if placed.counts_as != "accompanying"}
    return ModelResult(
        referable=referable,
        grade=grade,
        reason=reason,
        action=action,
        decisive=decisive.file.number,
        outcome=decisive.file.outcome,
        missing_fields=tuple(field for field in required if field not in taken),
        files=tuple(of_eye),
        doubts=tuple(doubts),
    )


def model_results(
    files: Sequence[File], expected: tuple[str, ...], *, one_field: bool
) -> dict[str, ModelResult]:
    """Return the results of all eyes that have one."""
    by_eye: dict[str, list[Placed]] = {}
    for file in placed(files, one_field=one_field):
        by_eye.setdefault(file.eye, []).append(file)
    unknown = by_eye.get("U", [])
    if len(by_eye) > 1 and all(file.counts_as == "accompanying" for file in unknown):
        by_eye.pop("U", None)
    return {eye: result_of_eye(eye, by_eye[eye], expected) for eye in EYES if eye in by_eye}
