"""A seeded sample of exams in which everything that the rules name occurs often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from tests.oracle.events import Exam, File, Reading
from tests.oracle.eyes import ModelResult, model_results
from tests.oracle.kinds import CONFIGURATIONS, KINDS, LESIONS, SHORT_KINDS

CALM_VERDICTS = ("agree",) * 6 + ("override", "defer", "retake")
VERDICTS = ("agree", "agree", "override", "override", "override", "ungradable", "retake", "defer")
PURPOSES = ("routine", "routine", "second", "arbitration", "quality_assurance")


def sampled(count: int, seed: int) -> Iterator[Exam]:
    """Yield this many exams; equal seeds give equal exams."""
    random = Random(seed)
    for _ in range(count):
        yield sampled_exam(random)


def sampled_exam(random: Random) -> Exam:
    """Return one exam of up to seven files and up to five readings."""
    expected, one_field = random.choice(CONFIGURATIONS)
    files = sampled_files(random)
    exam = Exam(
        files,
        expected_fields=expected,
        one_field=one_field,
        absent=eyes_or_none(random, "RL"),
        confirm=random.choice(("none", "all")),
        open_follow_ups=eyes_or_none(random, "RLU"),
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
    return tuple(files)


def sampled_readings(random: Random, exam: Exam) -> tuple[Reading, ...]:
    """Return readings in the order in which they were given, none of them refused."""
    count = random.choice((0, 1, 1, 2, 2, 3, 3, 4, 5))
    late = [len(exam.files)] * 3
    afters = sorted(
        random.choice((random.randint(1, len(exam.files)), *late)) for _ in range(count)
    )
    at = {after: results_at(exam, after) for after in afters}
    calm = random.random() < 0.4
    given: list[Reading] = []
    for after in afters:
        if at[after]:
            reading = sampled_reading(random, random.choice(list(at[after])), after, calm)
            given.append(reading)
    return tuple(one for one in given if is_allowed(one, at[one.after]))


def sampled_reading(random: Random, eye: str, after: int, calm: bool) -> Reading:
    """Return one reading, which may be refused."""
    verdict = random.choice(CALM_VERDICTS if calm else VERDICTS)
    finding = not calm and verdict != "defer" and random.random() < 0.25
    return Reading(
        reader=random.choice("abc"),
        purpose=random.choice(PURPOSES),
        verdict=verdict,
        eye=eye,
        grade=random.choice((0, 1) if calm else (0, 0, 1, 1, 2, 3, 4))
        if verdict == "override"
        else None,
        lesion=random.choice(LESIONS) if finding and random.random() < 0.6 else None,
        maculopathy=finding and random.random() < 0.5,
        after=after,
    )


def results_at(exam: Exam, after: int) -> dict[str, ModelResult]:
    """Return the model's results when so many files had arrived."""
    return model_results(exam.files[:after], exam.expected_fields, one_field=exam.one_field)


def is_allowed(reading: Reading, then: dict[str, ModelResult]) -> bool:
    """Say if the eye had a result, and a decided one if the reader agrees."""
    model = then.get(reading.eye)
    return model is not None and (reading.verdict != "agree" or model.referable != "indeterminate")


def allowed(exam: Exam) -> bool:
    """Say if no reading of the exam is refused."""
    at = {one.after: results_at(exam, one.after) for one in exam.readings}
    return all(is_allowed(one, at[one.after]) for one in exam.readings)
