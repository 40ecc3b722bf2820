"""What differs between the program and the oracle about an exam, by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.oracle import program, sentences
from tests.oracle.rules import Expected, ExpectedEye, expected

from fundusd.reports import next_steps, wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.oracle import events

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult

# Steps whose wording ends at the colon, because the meaning of a reason follows. What follows
# "Find out which eye capture 5 shows" is on the page only for one of its reasons.
BEFORE_COLON = re.compile(
    r"(Find out whose photograph .* is:"
    r"|Find out when .* was taken:"
    r"|Export .* again under a new name, or exclude it as retaken:"
    r"|Have a reader read .* again:"
    r"|Have another reader decide about .*?:"
    r"|Take the photograph of .* again:"
    r"|Have .* examined in another way:) .+"
)
WHICH_EYE = re.compile(r"(Find out which eye .* shows)(: .+)?")
FOLLOW_UP = re.compile(r".*?(the right eye|the left eye|that eye).*\bfollow-up \d.*")
WHOSE = re.compile(r"Find out whose photographs these are \((.+)\)\.")
OF_FILES = re.compile(r"capture (\d+):|and (\d+) more")
CAPTURES = re.compile(r"capture \d+(?: or capture \d+)*")
GRADE = re.compile(r".+ \(ICDR grade (\d)\)")


def canonical(step: str) -> str:
    """Return a step as the oracle writes it, captures in the order of their numbers."""
    if match := FOLLOW_UP.fullmatch(step):
        return f"follow-up of {match[1]}"
    if match := WHOSE.fullmatch(step):
        numbers = [first or f"+{more}" for first, more in OF_FILES.findall(match[1])]
        return f"whose photographs: {' '.join(numbers)}"
    match = BEFORE_COLON.fullmatch(step) or WHICH_EYE.fullmatch(step)
    return CAPTURES.sub(_in_order_of_numbers, match[1] if match else step)


def _in_order_of_numbers(captures: re.Match[str]) -> str:
    names = captures[0].split(" or ")
    return " or ".join(sorted(names, key=lambda name: int(name.split()[1])))


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
    del wanted["action"]
    return wanted | {"missing_fields": sorted(eye.missing_fields)}


def differences(exam: events.Exam) -> dict[str, Any]:
    """Return what differs between program and oracle, by name."""
    judged, wanted = program.judged(exam), expected(exam)
    pairs: dict[str, tuple[Any, Any]] = {
        "eyes": ([eye.eye.value for eye in judged.eyes], list(wanted.eyes)),
        "referable": (judged.final.referable.value, wanted.referable),
        "grade": (judged.final.grade, wanted.grade),
        "missing": (sorted(judged.missing), sorted(wanted.missing)),
        "is_read": (judged.is_reviewed, wanted.is_read),
        "is_final": (judged.is_final, wanted.is_final),
        "worklist": _listed(judged, wanted),
        "headline": (_in_order(wording.person(judged)), _wanted_headline(wanted)),
        "standing": _standing(wording.standing(judged), wanted),
        "worst_grade": _worst_grade(wording.worst_grade(judged), wanted),
        "steps": _steps(next_steps.steps(judged), wanted),
    }
    for eye in judged.eyes:
        if eye.eye in wanted.eyes:
            got, page = of_eye(eye), wanted_of_eye(wanted.eyes[eye.eye])
            pairs |= {f"{eye.eye}.{name}": (got[name], page[name]) for name in page}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _steps(steps: Sequence[str], wanted: Expected) -> tuple[list[str], list[str]]:
    return [canonical(step) for step in steps], list(wanted.steps)


def _standing(standing: str, wanted: Expected) -> tuple[dict[str, bool], dict[str, bool]]:
    """Return what is said of readers; nothing else of the sentence is on the page."""
    differ = " and ".join(wanted.eyes_in_dispute)
    by_program = {
        "read every eye": "A human has read every eye." in standing,
        "readers differ": "readers differ" in standing,
        "about": f"Preliminary: readers differ about {differ}." in standing,
    }
    by_page = {
        "read every eye": wanted.may_say_read_every_eye,
        "readers differ": bool(differ),
        "about": bool(differ),
    }
    return by_program, by_page


def _worst_grade(sentence: str, wanted: Expected) -> tuple[str, str]:
    """Return the grade as a digit; its name is not on the page."""
    match = GRADE.fullmatch(sentence)
    page = "No grade" if wanted.worst_grade is None else str(int(wanted.worst_grade))
    return match[1] if match else sentence, page


def _wanted_headline(wanted: Expected) -> str:
    if wanted.headline != sentences.LESION:
        return wanted.headline
    names = [program.LESIONS[lesion].wording for lesion in wanted.lesions]
    return _in_order(f"{wanted.headline} ({', '.join(names)})")


def _in_order(headline: str) -> str:
    """Return a headline with the names of lesions in alphabetical order, if it has any."""
    start, bracket, names = headline.partition(" (")
    return start + bracket + ", ".join(sorted(names.removesuffix(")").split(", ")))


def _listed(judged: Exam, wanted: Expected) -> tuple[list[str], list[str]]:
    """Return the worklist of both, in an order in which equal eyes stand as the oracle has them."""
    listed = [eye.eye.value for eye in program.worklist(judged)]
    return listed, list(wanted.worklist)
