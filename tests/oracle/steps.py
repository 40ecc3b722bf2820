"""The section "Next steps" of docs/exams.md.

Where the meaning of a reason follows behind a colon, a step ends here with the colon. The page
does not word the step of a follow-up, which is here "follow-up of the right eye", nor how the
files of an unknown patient are described: "whose photographs: 1 +3" stands for that step.
"""

from __future__ import annotations

from tests.oracle.eyes import is_evidence
from tests.oracle.moments import files_at
from tests.oracle.person import BOTH, READERS_ASKED, Person, on_list_as
from tests.oracle.readings import identity_of_eye
from tests.oracle.sentences import NAMES

CONTACT_IT = (
    "Contact IT about the photograph of {}: the camera, the file or this service is at fault."
)
CHECK_ABSENT = "Check which eye this is: {} is said to be absent, but was photographed."
NAMED = 1
STILL_MISSING = "When that is known, photograph the eye that is still missing."
UNLESS = ", unless it is the eye that is not known"
CHECK_BOTH = "Check which eyes the patient lacks: both are said to be absent."
IF_RETAKEN = "If a later photograph shows the same part of the eye, exclude capture {} as retaken."
CONFIRM = "Have a human reader confirm the result before it counts."
ON_NO_LIST = "The clinic's settings put it on no list (confirm_negatives)."
NOTHING_BEYOND = "Nothing beyond the clinic's usual screening interval."
OF_ACTIONS = {
    "retake": "Take the photograph of {} again while the patient is still there.",
    "refer_reader": "Have a reader look at the photograph of {}.",
    "contact_it": CONTACT_IT,
}
OF_REASONS = {
    "reading_outdated": "Have a reader read {} again:",
    "readings_differ": "Have another reader decide about {}:",
    "reader_asks_retake": "Take the photograph of {} again:",
    "reader_ungradable": "Have {} examined in another way:",
}
OF_DOUBTS = {
    "eye_contradicted": "Find out which eye {} shows",
    "patient_uncertain": "Find out whose photograph {} is:",
    "day_uncertain": "Find out when {} was taken:",
    "eye_unknown": "Find out which eye {} shows",
    "overwritten": "Export {} again under a new name, or exclude it as retaken:",
}
NOT_JUDGED = "Have {} examined in another way:"
CLAIMED = "Find out whose photograph capture 99 of exam 9 is:"
OTHER_EXAM = "Look at exam 13, too: it is of the same patient and day."
WITHOUT_A_STEP = ("field_missing", "eye_unknown")  # of their own: they are of no photograph


def steps(person: Person) -> list[str]:
    """Return the steps in their order."""
    rows = whose(person) + referral(person)
    for eye in person.counting:
        rows += steps_of_eye(person, eye)
    rows += photograph(person)
    rows += [
        CHECK_ABSENT.format(NAMES[eye]) for eye in person.impossible if eye not in person.counting
    ]
    rows += not_judged(person)
    if person.lacks_both:
        rows.append(CHECK_BOTH)
    if person.exam.claimed:
        rows.append(CLAIMED)
    rows += [f"follow-up of {NAMES[eye]}" for eye in "RLU" if eye in person.exam.open_follow_ups]
    return rows + of_the_whole(person)


def whose(person: Person) -> list[str]:
    """Return the step of an exam whose patient is not known."""
    of_eyes = [placed.file.number for model in person.models.values() for placed in model.files]
    numbers = sorted(of_eyes or [file.number for file in files_at(person.exam, person.exam.now)])
    if person.exam.is_known or not numbers:
        return []
    more = [f"+{len(numbers) - NAMED}"] if len(numbers) > NAMED else []
    return [f"whose photographs: {' '.join([*map(str, numbers[:NAMED]), *more])}"]


def photograph(person: Person) -> list[str]:
    """Return the steps for missing eyes."""
    if "U" not in person.counting:
        return [f"Photograph {NAMES[eye]}." for eye in person.missing]
    if len(person.missing) == len(BOTH):
        return [STILL_MISSING]
    return [f"Photograph {NAMES[eye]}{UNLESS}." for eye in person.missing]


def not_judged(person: Person) -> list[str]:
    """Return the steps for eyes that are said to be absent, and not because of a prosthesis."""
    if person.exam.absence == "prosthesis":
        return []
    return [NOT_JUDGED.format(NAMES[eye]) for eye in "LR" if eye in person.exam.absent]


def referral(person: Person) -> list[str]:
    """Return the step of a referable person."""
    states = {person.after[eye].state for eye in person.saying_yes}
    if person.referable != "yes":
        return []
    if "read" in states:
        return ["Refer to an eye specialist."]
    if states & {"disputed", "outdated"}:
        return ["Refer to an eye specialist, unless a reader decides otherwise."]
    return [
        "Have a human reader look at it; if the reader agrees, refer to an eye specialist.",
    ]


def of_the_whole(person: Person) -> list[str]:
    """Return the steps of a person who is `no`, and of one with another exam of the day."""
    rows = []
    if person.referable == "no" and not person.is_read:
        rows.append(CONFIRM)
        if all(on_list_as(person, eye) is None for eye in person.counting):
            rows.append(ON_NO_LIST)
    if person.exam.other_exam:
        rows.append(OTHER_EXAM)
    is_done = person.referable == "no" and person.is_final
    if is_done and not not_judged(person) and not person.exam.other_exam:
        rows.append(NOTHING_BEYOND)
    return rows


def steps_of_eye(person: Person, eye: str) -> list[str]:
    """Return the steps of an eye that counts."""
    rows = [CHECK_ABSENT.format(NAMES[eye])] if eye in person.exam.absent else []
    rows += steps_of_reason(person, eye)
    identity = identity_of_eye(eye, person.models[eye])
    if identity is not None:
        step = step_of_doubt(person, eye, identity)
        rows += [step] if step not in rows else []
    return rows


def step_of_doubt(person: Person, eye: str, identity: str) -> str:
    """Return the step that names the captures with this identity doubt; of a U, all of them."""
    files = list(person.models[eye].files)
    if identity == "overwritten":
        files = [placed for placed in files if placed.file.path_taken_by is not None]
    elif eye != "U" or identity not in {"eye_unknown", "eye_contradicted"}:
        files = [placed for placed in files if placed.identity == identity]
    numbers = sorted(placed.file.number for placed in files)
    return OF_DOUBTS[identity].format(" or ".join(f"capture {number}" for number in numbers))


def steps_of_reason(person: Person, eye: str) -> list[str]:
    """Return what follows from the reason of an eye after the readings."""
    result, model, name = person.after[eye], person.models[eye], NAMES[eye]
    reason = result.reason
    if reason is None:
        return []
    if reason in {"eye_contradicted", "patient_uncertain", "day_uncertain", "overwritten"}:
        return [step_of_doubt(person, eye, reason)]
    if reason in OF_REASONS:
        is_followed_up = reason in READERS_ASKED and eye in person.exam.open_follow_ups
        return [] if is_followed_up else [OF_REASONS[reason].format(name)]
    rows = [step_of_doubt(person, eye, "eye_unknown")] if eye == "U" else []
    if reason not in WITHOUT_A_STEP:
        rows.append(OF_ACTIONS[result.action].format(name))
        if result.action == "retake" and any(is_evidence(placed) for placed in model.files):
            rows.append(IF_RETAKEN.format(model.decisive))
    if model.missing_fields:
        fields = " and the ".join(sorted(model.missing_fields))
        rows.append(f"Photograph the {fields} of {name} (not seen yet).")
    return rows
