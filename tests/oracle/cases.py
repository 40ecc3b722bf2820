"""A deterministic enumeration of exams: small spaces exhaustively, wide ones by a seeded sample."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

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
from tests.oracle.sampling import allowed, sampled

__all__ = ["Exam", "File", "Reading", "enumerated", "sampled"]

SAMPLE = 400_000
SEED = 20_261_127


def enumerated() -> Iterator[Exam]:
    """Yield every exam of the enumeration once."""
    seen: set[int] = set()
    for exam in itertools.chain(
        pairs_of_files(),
        three_files(),
        one_photograph(),
        persons(),
        two_readings(),
        three_readings(),
        sampled(SAMPLE, SEED),
    ):
        key = hash(exam)
        if key not in seen:
            seen.add(key)
            yield exam


def pairs_of_files() -> Iterator[Exam]:
    """Yield all sequences of up to two files of one eye, with all fields, in two photographs."""
    every = [replace(kind, field=field) for kind in KINDS for field in (None, "macula", "disc")]
    rows = [(), *((one,) for one in every), *itertools.product(every, repeat=2)]
    for row, other in itertools.product(rows, OTHER_EYES[:3]):
        for expected, one_field in CONFIGURATIONS[:2]:
            files = numbered([*row, *other])
            yield Exam(files, (), expected, one_field)


def three_files() -> Iterator[Exam]:
    """Yield all multisets of three files of the right eye, the left or an unknown one."""
    every = [replace(kind, field=field) for kind in SHORT_KINDS for field in (None, "macula")]
    rows = itertools.combinations_with_replacement(every, 3)
    for row, (expected, one_field), eye in itertools.product(rows, CONFIGURATIONS[1:], "RLU"):
        of_eye = [replace(kind, eye=eye) for kind in row]
        yield Exam(numbered([*OTHER_EYES[1], *of_eye]), (), expected, one_field)


def one_photograph() -> Iterator[Exam]:
    """Yield pairs of files of one photograph, which may name different eyes and fields."""
    places = list(itertools.product("RLU", (None, "macula", "disc")))
    for first, second in itertools.product(SHORT_KINDS, repeat=2):
        for one, two in itertools.product(places, repeat=2):
            files = numbered(
                [
                    replace(first, eye=one[0], field=one[1]),
                    replace(second, eye=two[0], field=two[1]),
                    *OTHER_EYES[2],
                ]
            )
            together = (replace(files[0], photograph=1), replace(files[1], photograph=1))
            yield Exam((*together, *files[2:]), (), BOTH_FIELDS)


def persons() -> Iterator[Exam]:
    """Yield one file or none of each eye, with all that is said about the person."""
    of_eye = [None, *SHORT_KINDS]
    subsets = [frozenset(), frozenset("R"), frozenset("L"), frozenset("RL")]
    for right, left, unknown in itertools.product(of_eye, of_eye, (None, *SHORT_KINDS[:5])):
        eyes = zip((right, left, unknown), "RLU", strict=True)
        files = numbered([replace(kind, eye=eye) for kind, eye in eyes if kind is not None])
        for absent, confirm in itertools.product(subsets, ("none", "all")):
            yield Exam(files, absent=absent, confirm=confirm)


def readings_of(readers: str, purposes: Sequence[str], long: bool) -> list[Reading]:
    """Return what these readers may say about the right eye."""
    said = [Reading("", "", "agree", "R"), Reading("", "", "ungradable", "R")]
    said += [Reading("", "", "defer", "R"), Reading("", "", "override", "R", 3)]
    said += [Reading("", "", "override", "R", 0)]
    if long:
        said += [Reading("", "", "override", "R", grade) for grade in (1, 2)]
        said += [Reading("", "", "retake", "R"), Reading("", "", "retake", "R", None, LESIONS[0])]
        said += [Reading("", "", "override", "R", 1, LESIONS[1])]
        said += [Reading("", "", "agree", "R", None, LESIONS[0])]
        said += [Reading("", "", "override", "R", 0, None, maculopathy=True)]
    return [
        replace(one, reader=reader, purpose=purpose)
        for reader, purpose, one in itertools.product(readers, purposes, said)
    ]


def read_exams(
    readings: Sequence[Sequence[Reading]], afters: Sequence[Sequence[int]]
) -> Iterator[Exam]:
    """Yield exams with each row of readings, given after so many files."""
    bases = [numbered([*first, *second]) for first, second in BASES]
    for files, row, after in itertools.product(bases, readings, afters):
        given = tuple(replace(one, after=when) for one, when in zip(row, after, strict=True))
        exam = Exam(files, given)
        if allowed(exam):
            yield exam


def two_readings() -> Iterator[Exam]:
    """Yield all pairs of readings by one reader or two, before and after another file."""
    purposes = ("routine", "second", "arbitration", "quality_assurance")
    first = readings_of("a", ("routine", "arbitration", "quality_assurance"), long=True)
    second = readings_of("ab", purposes, long=True)
    rows = [(), *((one,) for one in second), *itertools.product(first, second)]
    for length in range(3):
        of_length = [row for row in rows if len(row) == length]
        afters = [(3,) * length, (4,) * length, (3, 4)] if length == 2 else [(3,), (4,)]
        yield from read_exams(of_length, afters if length else [()])


def three_readings() -> Iterator[Exam]:
    """Yield all rows of three short readings by up to three readers."""
    purposes = ("routine", "arbitration")
    first = readings_of("a", purposes, long=False)
    second = readings_of("ab", purposes, long=False)
    third = readings_of("abc", purposes, long=False)
    rows = list(itertools.product(first, second, third))
    yield from read_exams(rows, [(4, 4, 4), (3, 3, 4)])


GOOD, REFERABLE, BLURRED = SHORT_KINDS[0], SHORT_KINDS[1], SHORT_KINDS[2]
LEFT = replace(GOOD, eye="L")
MACULA, BLURRED_MACULA = replace(GOOD, field="macula"), replace(BLURRED, field="macula")
# Three files of which at least one shows the right eye, then a fourth one of the right eye.
BASES = (
    ((GOOD, LEFT, LEFT), (GOOD,)),
    ((GOOD, LEFT, LEFT), (REFERABLE,)),
    ((REFERABLE, LEFT, LEFT), (GOOD,)),
    ((BLURRED_MACULA, LEFT, LEFT), (MACULA,)),
    ((GOOD, LEFT, LEFT), (LEFT,)),
)
