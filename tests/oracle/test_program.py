"""The program judges every exam as the oracle does, which was written from docs/exams.md alone.

Continuous integration compares a sample; `make oracle` compares the whole enumeration.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tests.oracle import cases
from tests.oracle.comparison import differences

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.oracle import events

SAMPLE, SEED = 2500, 13
EVERY = 211  # a prime, so that each part of the enumeration is met


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
        count, wrong = compare(cases.enumerated(EVERY))
        more, wrong_samples = compare(cases.sampled(SAMPLE, SEED))
        assert count + more > SAMPLE
        wrong += wrong_samples
    assert wrong == []
