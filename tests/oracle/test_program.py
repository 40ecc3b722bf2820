"""The program judges every exam as the oracle does, which was written from docs/exams.md alone.

Continuous integration compares a sample; `make oracle` compares the whole enumeration.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Any

from tests.oracle import cases, program, rules
from tests.oracle.rules import Expected, ExpectedEye, expected

from fundusd.reports import next_steps, wording

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.oracle import events

    from fundusd.clinical.exam import Exam, EyeResult

NOTHING_BEYOND = "Nothing beyond the clinic's usual screening interval."
SAMPLE, SEED = 6000, 13


def of_eye(eye: EyeResult) -> dict[str, Any]:
    """Return what the program says of an eye, in the oracle's terms."""
    return {
        "referable": eye.referable.value,
        "grade": eye.grade,
        "reason": eye.reason and eye.reason.value,
        "decisive": eye.decisive.capture_id,
        "missing_fields": sorted(eye.missing_fields),
        "state": eye.state.value,
        "final_referable": eye.final.referable.value,
        "final_grade": eye.final.grade,
        "final_reason": eye.open_reason and eye.open_reason.value,
        "final_action": eye.action.value,
        "on_list_as": eye.waits_for and eye.waits_for.value,
    }


def wanted_of_eye(eye: ExpectedEye) -> dict[str, Any]:
    """Return what the oracle says of an eye."""
    wanted = {name: getattr(eye, name) for name in ExpectedEye.__slots__}
    del wanted["list_rank"], wanted["action"]
    return wanted | {"missing_fields": sorted(eye.missing_fields)}


def differences(exam: events.Exam) -> dict[str, Any]:
    """Return what differs between program and oracle, by name."""
    said, wanted = program.judged(exam), expected(exam)
    pairs: dict[str, tuple[Any, Any]] = {
        "eyes": ([eye.eye.value for eye in said.eyes], list(wanted.eyes)),
        "referable": (said.final.referable.value, wanted.referable),
        "grade": (said.final.grade, wanted.grade),
        "missing": (sorted(said.missing), sorted(wanted.missing)),
        "is_read": (said.is_reviewed, wanted.is_read),
        "is_final": (said.is_final, wanted.is_final),
        "worklist": (_listed(said, wanted)),
        "sentences": (_sentences(said), _wanted_sentences(wanted)),
    }
    for eye in said.eyes:
        if eye.eye in wanted.eyes:
            pairs[eye.eye] = (of_eye(eye), wanted_of_eye(wanted.eyes[eye.eye]))
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _sentences(said: Exam) -> dict[str, Any]:
    """Return what the page of an exam says of the person, and of what nobody may say lightly."""
    steps, standing = next_steps.steps(said), wording.standing(said)
    return {
        "headline": _in_order(wording.person(said)),
        "nothing beyond": any(NOTHING_BEYOND in step for step in steps),
        "confirm": any("confirm the result" in step for step in steps),
        "read every eye": standing.startswith("A human has read every eye."),
        "is undecided without a step": wording.person(said) == rules.UNDECIDED and not steps,
    }


def _wanted_sentences(wanted: Expected) -> dict[str, Any]:
    headline = wanted.headline
    if headline == rules.LESION:
        names = [program.LESIONS[lesion].wording for lesion in sorted(wanted.lesions)]
        headline += f" ({', '.join(names)})"
    return {
        "headline": _in_order(headline),
        "nothing beyond": wanted.may_say_nothing_beyond,
        "confirm": wanted.must_say_confirm,
        "read every eye": wanted.may_say_read_every_eye,
        "is undecided without a step": False,
    }


def _in_order(headline: str) -> str:
    """Return a headline with the names of lesions in alphabetical order, if it has any."""
    start, bracket, names = headline.partition(" (")
    return start + bracket + ", ".join(sorted(names.removesuffix(")").split(", ")))


def _listed(said: Exam, wanted: Expected) -> tuple[list[str], list[str]]:
    """Return the worklist of both, in an order in which equal eyes stand as the oracle has them."""
    listed = [eye.eye.value for eye in program.worklist(said)]
    return listed, list(wanted.worklist)


def compare(exams: Iterable[events.Exam]) -> tuple[int, list[tuple[events.Exam, Any]]]:
    """Return the number of exams, and the first of those that are judged in another way."""
    count = 0
    wrong: list[tuple[events.Exam, Any]] = []
    for exam in exams:
        count += 1
        differs = differences(exam)
        if differs and len(wrong) < 5:
            wrong.append((exam, differs))
    return count, wrong


def test_the_program_judges_as_the_oracle() -> None:
    if os.environ.get("FUNDUSD_ORACLE") == "all":
        count, wrong = compare(cases.enumerated())
        print(f"exams compared: {count}")
        assert count >= 500_000
    else:
        every = 97  # a prime, so that each part of the enumeration is met
        count, wrong = compare(islice(cases.enumerated(), 0, None, every))
        more, wrong_samples = compare(cases.sampled(SAMPLE, SEED))
        assert count + more > SAMPLE
        wrong += wrong_samples
    assert wrong == []
