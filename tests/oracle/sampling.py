"""A seeded sample of exams in which everything that the rules name occurs often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from tests.oracle.events import OF_ANOTHER_EXAM, Correction, Exam, File, Reading
from tests.oracle.kinds import CONFIGURATIONS, KINDS, LESIONS, SHORT_KINDS
from tests.oracle.moments import results_at
from tests.oracle.readings import is_refused

CALM_VERDICTS = ("agree",) * 6 + ("override", "defer", "retake")
VERDICTS = ("agree", "agree", "override", "override", "override", "ungradable", "retake", "defer")
PURPOSES = ("routine", "routine", "second", "arbitration", "quality_assurance")
CORRECTIONS = ("eye", "eye", "exclude", "exclude", "include", "belongs")


def sampled(count: int, seed: int) -> Iterator[Exam]:
    """Yield this many exams; equal seeds give equal exams."""
    random = Random(seed)
    for _ in range(count):
        yield sampled_exam(random)


def sampled_exam(random: Random) -> Exam:
    """Return an exam of up to seven files, three corrections and five readings."""
    expected, one_field = random.choice(CONFIGURATIONS)
    files = sampled_files(random)
    corrections = sampled_corrections(random, files) if random.random() < 0.35 else ()
    exam = Exam(
        files,
        expected_fields=expected,
        one_field=one_field,
        absent=eyes_or_none(random, "RL"),
        absence=random.choice(("prosthesis", "no_view")),
        claimed=random.random() < 0.06,
        other_exam=random.choice(("yes", "indeterminate", "no", *(None,) * 30)),
        is_known=random.random() >= 0.06,
        confirm=random.choice(("none", "all")),
        open_follow_ups=eyes_or_none(random, "RLU"),
        corrections=corrections,
    )
    return replace(exam, readings=sampled_readings(random, exam))


def eyes_or_none(random: Random, eyes: str) -> frozenset[str]:
    """Return no eye in most cases, otherwise one or all."""
    if random.random() < 0.75:
        return frozenset()
    return frozenset(eyes) if random.random() < 0.2 else frozenset(random.choice(eyes))


def sampled_files(random: Random) -> tuple[File, ...]:
    """Return up to seven files; a calm exam has none but good and referable ones."""
    files: list[File] = []
    calm = random.random() < 0.4
    for number in range(1, random.randint(0, 6) + 2):
        kind = random.choice(SHORT_KINDS[:1] * 4 + SHORT_KINDS[:2] if calm else KINDS)
        eye = random.choice("RL" if calm else "RRRLLLU")
        field = random.choice((None, "macula", "macula", "disc"))
        photograph = number
        if files and random.random() < 0.25:
            partner = random.choice(files)
            photograph = partner.photograph
            eye = partner.eye if random.random() < 0.8 else eye
            field = partner.field if random.random() < 0.8 else field
        files.append(replace(kind, number=number, photograph=photograph, eye=eye, field=field))
    return with_taken_path(random, files)


def with_taken_path(random: Random, files: list[File]) -> tuple[File, ...]:
    """Let another file take the path of one, in some exams.

    In the same exam, both are photographs of one file.
    """
    photographs = [file.photograph for file in files]
    alone = [file for file in files if photographs.count(file.photograph) == 1]
    if random.random() < 0.85:
        return tuple(files)
    taken = random.choice(files)
    later = [file.number for file in alone if taken in alone and file.number > taken.number]
    by = random.choice([*later, OF_ANOTHER_EXAM])
    return tuple(replace(file, path_taken_by=by) if file is taken else file for file in files)


def sampled_corrections(random: Random, files: tuple[File, ...]) -> tuple[Correction, ...]:
    """Return up to three corrections, most of them after the last file."""
    made = []
    for _ in range(random.randint(1, 3)):
        photograph = random.choice(files).photograph
        first = min(file.number for file in files if file.photograph == photograph)
        after = random.choice((len(files), len(files), random.randint(first, len(files))))
        what = random.choice(CORRECTIONS)
        eye = random.choice("RL") if what == "eye" else ""
        made.append(Correction(photograph, what, after, eye))
    return tuple(sorted(made, key=lambda correction: correction.after))


def sampled_moments(random: Random, exam: Exam, count: int) -> list[tuple[int, int]]:
    """Return moments in their order: so many files, and so many of the corrections."""
    last = len(exam.files)
    moments = []
    for _ in range(count):
        after = random.choice((random.randint(1, last), last, last, last))
        earlier = sum(correction.after < after for correction in exam.corrections)
        same = sum(correction.after == after for correction in exam.corrections)
        moments.append((after, earlier + random.randint(0, same)))
    return sorted(moments)


def sampled_readings(random: Random, exam: Exam) -> tuple[Reading, ...]:
    """Return readings in the order in which they were given, none of them refused."""
    moments = sampled_moments(random, exam, random.choice((0, 1, 1, 2, 2, 3, 3, 4, 5)))
    at = {moment: results_at(exam, moment) for moment in moments}
    calm = random.random() < 0.4
    given: list[Reading] = []
    for moment in moments:
        if at[moment]:
            reading = sampled_reading(random, random.choice(list(at[moment])), calm=calm)
            given.append(replace(reading, after=moment[0], corrected=moment[1]))
    return tuple(reading for reading in given if not is_refused(reading, at[reading.moment]))


def sampled_reading(random: Random, eye: str, *, calm: bool) -> Reading:
    """Return a reading, which may be refused."""
    verdict = random.choice(CALM_VERDICTS if calm else VERDICTS)
    finding = not calm and verdict != "defer" and random.random() < 0.25
    grades = (0, 1) if calm else (0, 0, 1, 1, 2, 3, 4)
    return Reading(
        reader=random.choice("abc"),
        purpose=random.choice(PURPOSES),
        verdict=verdict,
        eye=eye,
        grade=random.choice(grades) if verdict == "override" else None,
        lesion=random.choice(LESIONS) if finding and random.random() < 0.6 else None,
        maculopathy=finding and random.random() < 0.5,
    )


def is_allowed(exam: Exam) -> bool:
    """Say if no reading of the exam is refused."""
    return not any(
        is_refused(reading, results_at(exam, reading.moment)) for reading in exam.readings
    )
