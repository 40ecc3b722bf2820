"""A deterministic enumeration of exams: small spaces exhaustively, wide ones by a seeded sample."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.oracle.corrected_cases import corrected_after_readings
from tests.oracle.events import Exam, File, Reading
from tests.oracle.kinds import (
    BOTH_FIELDS,
    CONFIGURATIONS,
    KINDS,
    LESIONS,
    OTHER_EYES,
    SHORT_KINDS,
    numbered,
)
from tests.oracle.sampling import is_allowed, sampled

__all__ = ["Exam", "File", "Reading", "enumerated", "sampled"]

SAMPLE = 200_000
SEED = 20_261_127
FIELDS = (None, "macula", "disc")


def enumerated(every: int = 1) -> Iterator[Exam]:
    """Yield each exam of the enumeration once, or every so many of each of its parts."""
    seen: set[int] = set()
    for exam in itertools.chain(
        pairs_of_files(every),
        three_files(every),
        files_of_a_photograph(every),
        persons(every),
        two_readings(every),
        three_readings(every),
        corrected_after_readings(every),
        sampled(SAMPLE // every, SEED),
    ):
        key = hash(exam)
        if key not in seen:
            seen.add(key)
            yield exam


def pairs_of_files(every: int) -> Iterator[Exam]:
    """Yield all sequences of up to two files of an eye, with all fields, in two photographs."""
    kinds = [replace(kind, field=field) for kind in KINDS for field in FIELDS]
    rows = [(), *((kind,) for kind in kinds), *itertools.product(kinds, repeat=2)]
    spaces = itertools.product(rows, OTHER_EYES[:3], CONFIGURATIONS[:2])
    for row, other, (expected, one_field) in itertools.islice(spaces, 0, None, every):
        yield Exam(numbered([*row, *other]), (), expected, one_field)


def three_files(every: int) -> Iterator[Exam]:
    """Yield all multisets of three files of the right eye, the left or an unknown one."""
    kinds = [replace(kind, field=field) for kind in SHORT_KINDS for field in FIELDS]
    rows = itertools.combinations_with_replacement(kinds, 3)
    spaces = itertools.product(rows, CONFIGURATIONS[1:], "RLU")
    for row, (expected, one_field), eye in itertools.islice(spaces, 0, None, every):
        of_eye = [replace(kind, eye=eye) for kind in row]
        yield Exam(numbered([*OTHER_EYES[1], *of_eye]), (), expected, one_field)


def files_of_a_photograph(every: int) -> Iterator[Exam]:
    """Yield pairs of files of one photograph, which may name different eyes and fields."""
    places = [
        replace(kind, eye=eye, field=field)
        for kind, eye, field in itertools.product(SHORT_KINDS, "RLU", FIELDS)
    ]
    spaces = itertools.product(places, repeat=2)
    for first, second in itertools.islice(spaces, 0, None, every):
        files = numbered([first, second, *OTHER_EYES[2]])
        yield Exam((files[0], replace(files[1], photograph=1), *files[2:]), (), BOTH_FIELDS)


def persons(every: int) -> Iterator[Exam]:
    """Yield one file or none of each eye, with all that is said about the person."""
    of_eye = [None, *SHORT_KINDS]
    of_absence = [frozenset(), frozenset("R"), frozenset("L"), frozenset("RL")]
    follow_ups = [frozenset(), frozenset("R"), frozenset("RLU")]
    spaces = itertools.product(
        itertools.product(of_eye, of_eye, (None, *SHORT_KINDS[:5])),
        of_absence,
        ("none", "all"),
        ((), BOTH_FIELDS),
        follow_ups,
    )
    chosen = itertools.islice(spaces, 0, None, every)
    for kinds, absent, confirm, expected, open_follow_ups in chosen:
        eyes = zip(kinds, "RLU", strict=True)
        files = numbered([replace(kind, eye=eye) for kind, eye in eyes if kind is not None])
        yield Exam(files, (), expected, False, absent, confirm, open_follow_ups)


def readings_of(readers: str, purposes: Sequence[str], *, long: bool) -> list[Reading]:
    """Return what these readers may say about the right eye."""
    verdicts = [Reading("", "", "agree", "R"), Reading("", "", "ungradable", "R")]
    verdicts += [Reading("", "", "defer", "R"), Reading("", "", "override", "R", 3)]
    verdicts += [Reading("", "", "override", "R", 0)]
    if long:
        verdicts += [Reading("", "", "override", "R", grade) for grade in (1, 2)]
        verdicts += [Reading("", "", "retake", "R")]
        verdicts += [Reading("", "", "retake", "R", None, LESIONS[0])]
        verdicts += [Reading("", "", "override", "R", 1, LESIONS[1])]
        verdicts += [Reading("", "", "agree", "R", None, LESIONS[0])]
        verdicts += [Reading("", "", "override", "R", 0, None, maculopathy=True)]
    return [
        replace(verdict, reader=reader, purpose=purpose)
        for reader, purpose, verdict in itertools.product(readers, purposes, verdicts)
    ]


def read_exams(
    readings: Sequence[Sequence[Reading]], afters: Sequence[Sequence[int]], every: int
) -> Iterator[Exam]:
    """Yield exams with each row of readings, given after so many files."""
    bases = [numbered([*first, *second]) for first, second in BASES]
    spaces = itertools.product(bases, readings, afters)
    for files, row, after in itertools.islice(spaces, 0, None, every):
        given = [replace(reading, after=when) for reading, when in zip(row, after, strict=True)]
        exam = Exam(files, tuple(given))
        if is_allowed(exam):
            yield exam


def two_readings(every: int) -> Iterator[Exam]:
    """Yield all pairs of readings by one reader or two, before and after another file."""
    purposes = ("routine", "second", "arbitration", "quality_assurance")
    first = readings_of("a", ("routine", "arbitration", "quality_assurance"), long=True)
    second = readings_of("ab", purposes, long=True)
    yield from read_exams([()], [()], every)
    yield from read_exams([(reading,) for reading in second], [(3,), (4,)], every)
    pairs = list(itertools.product(first, second))
    yield from read_exams(pairs, [(3, 3), (4, 4), (3, 4)], every)


def three_readings(every: int) -> Iterator[Exam]:
    """Yield all rows of three short readings by up to three readers."""
    purposes = ("routine", "arbitration")
    first = readings_of("a", purposes, long=False)
    second = readings_of("ab", purposes, long=False)
    third = readings_of("abc", purposes, long=False)
    rows = list(itertools.product(first, second, third))
    yield from read_exams(rows, [(4, 4, 4), (3, 3, 4)], every)


GOOD, REFERABLE, BLURRED, CUT = SHORT_KINDS[:4]
LEFT = replace(GOOD, eye="L")
MACULA, BLURRED_MACULA = replace(GOOD, field="macula"), replace(BLURRED, field="macula")
# Three files of which at least one shows the right eye, then a fourth one of the right eye.
BASES = (
    ((GOOD, LEFT, LEFT), (GOOD,)),
    ((GOOD, LEFT, LEFT), (REFERABLE,)),
    ((REFERABLE, LEFT, LEFT), (GOOD,)),
    ((BLURRED_MACULA, LEFT, LEFT), (MACULA,)),
    ((GOOD, LEFT, LEFT), (LEFT,)),
    ((GOOD, LEFT, LEFT), (CUT,)),
    ((CUT, LEFT, LEFT), (GOOD,)),
)
