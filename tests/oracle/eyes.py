"""The sections "A photograph" and "An eye" of docs/exams.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracle.events import File

EYES = ("R", "L", "U")
RETAKE = "too_dark too_bright blur partial_field artefact not_retina field_missing"
REFER = "low_contrast media_opacity small montage eye_contradicted patient_uncertain eye_unknown"
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
    missing_fields: tuple[str, ...]
    files: tuple[Placed, ...]


def identity_doubt(file: File, *, said: bool) -> str | None:
    """Return the identity doubt; `said` is whether a person said the eye of the photograph."""
    if "eye_contradicted" in file.warnings and not said:
        return "eye_contradicted"
    if file.warnings & PATIENT_WARNINGS and not file.belongs:
        return "patient_uncertain"
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
    """Return the eye that a person said, or that its files name; `U` if none or several."""
    said = {file.eye for file in photograph if file.eye_said}
    if said:
        said.discard("U")
        return said.pop() if len(said) == 1 else "U"
    asked = [file for file in photograph if not file.excluded]
    if any(file.conflict for file in asked):
        return "U"
    named = {file.eye for file in asked if file.eye != "U"}
    return named.pop() if len(named) == 1 else "U"


def field_of(photograph: Sequence[File], *, one_field: bool) -> str | None:
    """Return the field on which its files agree; not known if they name none, or different ones."""
    named = {file.field for file in photograph if file.field is not None}
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
    identity = identity_doubt(file, said=any(other.eye_said for other in together))
    field = field_of([other for other in together if not other.excluded], one_field=one_field)
    return Placed(file, eye_of(together), field, *counts_as(file, identity), identity)


def is_evidence(one: Placed) -> bool:
    """Say if it is evidence: a referable file is, too, unless it has an identity doubt."""
    return one.counts_as in {"referable", "evidence"} and one.identity is None


def is_doubt(one: Placed) -> bool:
    """Say if it is a doubt: an accompanying file is, too, if it has an identity doubt."""
    return one.counts_as == "doubt" or (one.counts_as == "accompanying" and one.doubt is not None)


def is_resolved(doubt: Placed, of_eye: Sequence[Placed]) -> bool:
    """Say if the same photograph or a retake resolves a doubt of a file without a grade."""
    if doubt.file.outcome == "graded" or doubt.identity is not None:
        return False
    if doubt.file.reason in SEVERAL_PICTURES:
        return False
    return any(
        is_evidence(other)
        and (
            other.file.photograph == doubt.file.photograph
            or (doubt.field is not None and other.field == doubt.field)
        )
        for other in of_eye
    )


def newest(files: Sequence[Placed]) -> Placed:
    """Return the one with the highest capture number."""
    return max(files, key=lambda one: one.file.number)


def highest(files: Sequence[Placed]) -> Placed:
    """Return the one with the highest grade, and among equals the newest."""
    return max(files, key=lambda one: (grade_of(one), one.file.number))


def grade_of(one: Placed) -> int:
    """Return the grade of a file, below all grades if it has none."""
    return -1 if one.file.grade is None else one.file.grade


def deciding_doubt(doubts: Sequence[Placed]) -> Placed:
    """Return the one with the most useful action, and among equal actions the newest file."""
    for action in MOST_USEFUL_FIRST:
        same = [one for one in doubts if ACTIONS[str(one.doubt)] == action]
        if same:
            return newest(same)
    raise AssertionError(doubts)


def fields_not_taken(of_eye: Sequence[Placed], expected: tuple[str, ...]) -> tuple[str, ...]:
    """Return the expected fields of which no file was taken, accompanying ones left out."""
    taken = {one.field for one in of_eye if one.counts_as != "accompanying"}
    return tuple(field for field in expected if field not in taken)


def result_of_eye(eye: str, of_eye: Sequence[Placed], expected: tuple[str, ...]) -> ModelResult:
    """Return the six rows of the table; the first one that applies decides."""
    referable = [one for one in of_eye if one.counts_as == "referable"]
    doubts = [one for one in of_eye if is_doubt(one) and not is_resolved(one, of_eye)]
    evidence = [one for one in of_eye if is_evidence(one)]
    if {one.field for one in evidence} == {"disc"}:
        expected = (*dict.fromkeys((*expected, "macula")),)
    row: tuple[str, int | None, str | None, str, Placed]
    if referable:
        one = highest(referable)
        row = ("yes", grade_of(highest(of_eye)), None, "none", one)
    elif doubts:
        one = deciding_doubt(doubts)
        row = ("indeterminate", None, one.doubt, ACTIONS[str(one.doubt)], one)
    elif set(expected) - {one.field for one in evidence}:
        row = ("indeterminate", None, "field_missing", "retake", newest(of_eye))
    elif not evidence:
        one = newest(of_eye)
        row = ("indeterminate", None, one.file.reason, "refer_reader", one)
    elif eye == "U":
        row = ("indeterminate", None, "eye_unknown", "refer_reader", newest(of_eye))
    else:
        one = highest(evidence)
        row = ("no", one.file.grade, None, "none", one)
    said, grade, reason, action, decisive = row
    missing = fields_not_taken(of_eye, expected)
    return ModelResult(said, grade, reason, action, decisive.file.number, missing, tuple(of_eye))


def model_results(
    files: Sequence[File], expected: tuple[str, ...], *, one_field: bool
) -> dict[str, ModelResult]:
    """Return the results of all eyes that have one."""
    by_eye: dict[str, list[Placed]] = {}
    for one in placed(files, one_field=one_field):
        by_eye.setdefault(one.eye, []).append(one)
    unknown = by_eye.get("U", [])
    if len(by_eye) > 1 and all(one.counts_as == "accompanying" for one in unknown):
        by_eye.pop("U", None)
    return {eye: result_of_eye(eye, by_eye[eye], expected) for eye in EYES if eye in by_eye}
