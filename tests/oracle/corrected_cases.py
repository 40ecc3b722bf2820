"""Exams in which a photograph is excluded or corrected after a reader has read the eye."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from tests.oracle.events import Correction, Exam, Reading
from tests.oracle.kinds import LESIONS, SHORT_KINDS, doubtful, graded, numbered
from tests.oracle.sampling import is_allowed

RIGHT_KINDS = (
    *SHORT_KINDS[:4],
    graded(1, "eye_contradicted"),
    graded(0, "patient_conflict"),
    doubtful("refused", "redfree_or_fa", "eye_contradicted"),
    replace(graded(1), field="disc"),
)
# The first two files are of the right eye, the third of the left eye.
CORRECTIONS = (
    *(Correction(photograph, "exclude", 3) for photograph in (1, 2, 3)),
    *(Correction(1, "eye", 3, eye) for eye in "RL"),
    Correction(2, "eye", 3, "L"),
    Correction(3, "eye", 3, "R"),
    Correction(1, "include", 3),
    Correction(1, "belongs", 3),
)
FIRST = (
    Reading("a", "routine", "agree", "R"),
    Reading("a", "routine", "override", "R", 0),
    Reading("a", "routine", "override", "R", 3),
    Reading("a", "routine", "retake", "R"),
    Reading("a", "routine", "ungradable", "R", None, LESIONS[0]),
)
LATER = (
    None,
    Reading("a", "routine", "override", "L", 0),
    Reading("b", "routine", "override", "R", 0),
    Reading("a", "routine", "defer", "R"),
    Reading("b", "arbitration", "override", "L", 1),
)


def corrected_after_readings(every: int) -> Iterator[Exam]:
    """Yield pairs of files, a reading, up to two corrections, and perhaps a later reading."""
    rows = [((), 0), *(((correction,), 0) for correction in CORRECTIONS)]
    pairs = list(itertools.permutations(CORRECTIONS, 2))
    rows += [(pair, 0) for pair in pairs] + [(pair, 1) for pair in pairs]
    spaces = itertools.product(RIGHT_KINDS, RIGHT_KINDS, FIRST, rows, LATER)
    chosen = itertools.islice(spaces, 0, None, every)
    for kind, other, first, (corrections, already), later in chosen:
        files = numbered([kind, other, replace(SHORT_KINDS[0], eye="L")])
        readings = [replace(first, after=3, corrected=already)]
        if later is not None:
            readings.append(replace(later, after=3, corrected=len(corrections)))
        exam = Exam(files, tuple(readings), corrections=corrections)
        if is_allowed(exam):
            yield exam
