"""The program judges every exam as the oracle does, which was written from docs/exams.md alone.

Continuous integration compares a sample; `make oracle` compares the whole enumeration.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Any

from tests.oracle import cases, program
from tests.oracle.rules import Expected, ExpectedEye, expected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.oracle.events import Exam

    from fundusd.clinical.exam import EyeResult

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


def differences(exam: Exam) -> dict[str, Any]:
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
    }
    for eye in said.eyes:
        if eye.eye in wanted.eyes:
            pairs[eye.eye] = (of_eye(eye), wanted_of_eye(wanted.eyes[eye.eye]))
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _listed(said: Any, wanted: Expected) -> tuple[list[str], list[str]]:
    """Return the worklist of both, in an order in which equal eyes stand as the oracle has them."""
    listed = [eye.eye.value for eye in program.worklist(said)]
    return listed, list(wanted.worklist)


def compare(exams: Iterable[Exam]) -> tuple[int, list[tuple[Exam, dict[str, Any]]]]:
    """Return the number of exams, and the first of those that are judged in another way."""
    count, wrong = 0, []
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
