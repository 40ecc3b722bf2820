"""The kinds of files, cameras and lesions of which the enumerated exams consist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.oracle.events import File

LESIONS = ("lesion_1", "lesion_2")  # stand for any two codes of other lesions
BOTH_FIELDS = ("macula", "disc")
# The camera's expected fields, and whether its settings say fields = "one".
CONFIGURATIONS: tuple[tuple[tuple[str, ...], bool], ...] = (
    ((), False),
    (BOTH_FIELDS, False),
    (("macula",), False),
    (("macula",), True),
    ((), True),
)


def graded(grade: int, *warnings: str, eye_said: bool = False) -> File:
    """Return a graded file of the right eye, with the referral of the rule."""
    referable = "yes" if grade >= 2 else "no"
    marks = frozenset(warnings)
    return File(
        0, 0, "R", None, "graded", None, grade, referable, warnings=marks, eye_said=eye_said
    )


def without_grade(outcome: str, reason: str) -> File:
    """Return a file of the right eye without a grade."""
    return File(0, 0, "R", None, outcome, reason)


def doubtful(outcome: str, reason: str, *warnings: str) -> File:
    """Return a file of the right eye without a grade, with warnings."""
    return replace(without_grade(outcome, reason), warnings=frozenset(warnings))


SHORT_KINDS = (
    graded(0),
    graded(3),
    without_grade("ungradable", "blur"),
    without_grade("failed", "truncated"),
    without_grade("refused", "redfree_or_fa"),
    without_grade("ungradable", "media_opacity"),
    graded(1),
    graded(1, "eye_contradicted"),
    replace(graded(2), excluded=True),
    without_grade("refused", "montage"),
)
KINDS = (
    *SHORT_KINDS,
    graded(2),
    graded(4, "patient_conflict"),
    graded(2, "eye_contradicted"),
    graded(0, "eye_contradicted", eye_said=True),
    graded(0, "patient_conflict"),
    graded(1, "digest_of_two_patients"),
    graded(0, "eye_contradicted", "patient_conflict"),
    graded(0, "turned"),
    without_grade("ungradable", "too_dark"),
    without_grade("ungradable", "compression"),
    without_grade("ungradable", "small"),
    without_grade("refused", "not_retina"),
    without_grade("refused", "wrong_modality"),
    without_grade("refused", "multiframe"),
    without_grade("failed", "model_error"),
    replace(graded(0, "patient_conflict"), belongs=True),
    replace(graded(0, "eye_contradicted", "digest_of_two_patients"), belongs=True),
    replace(graded(0), day_uncertain=True),
    replace(graded(3), day_uncertain=True),
    replace(graded(1, "not_a_patient"), day_uncertain=True),
    replace(without_grade("ungradable", "blur"), day_uncertain=True),
    replace(graded(0), day_uncertain=True, belongs=True),
    replace(graded(0), conflict=True),
    replace(graded(1, eye_said=True), conflict=True),
    doubtful("ungradable", "blur", "eye_contradicted"),
    replace(graded(0), excluded=True),
    replace(graded(1, eye_said=True), excluded=True),
    doubtful("refused", "redfree_or_fa", "patient_conflict"),
    replace(without_grade("failed", "decode_error"), excluded=True),
    doubtful("refused", "redfree_or_fa", "eye_contradicted"),
    doubtful("refused", "wrong_modality", "eye_contradicted", "not_a_patient"),
    replace(doubtful("refused", "redfree_or_fa", "digest_of_two_patients"), belongs=True),
    replace(doubtful("refused", "wrong_modality", "eye_contradicted"), eye_said=True),
    doubtful("failed", "timeout", "patient_conflict"),
    replace(doubtful("ungradable", "small", "not_a_patient"), belongs=True),
    replace(graded(3, "not_a_patient"), belongs=True),
)
LEFT_GOOD = replace(graded(0), eye="L", field="macula")
OTHER_EYES: tuple[tuple[File, ...], ...] = (
    (),
    (LEFT_GOOD, replace(LEFT_GOOD, field="disc")),
    (replace(graded(0), eye="L"), replace(without_grade("refused", "redfree_or_fa"), eye="U")),
)


def numbered(kinds: Sequence[File]) -> tuple[File, ...]:
    """Return the files in the order of their arrival, each one its own photograph."""
    return tuple(
        replace(kind, number=number, photograph=number) for number, kind in enumerate(kinds, 1)
    )
