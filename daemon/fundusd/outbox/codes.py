"""The codes that documents use for results and reviews.

ICD-10 codes are never used, because they state a diagnosis. LOINC 105914-6 is not used either,
because it is reserved for FDA-cleared software.
"""

from __future__ import annotations

from typing import NamedTuple

from fundusd.domain.clinical_terms import (
    Action,
    Eye,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewVerdict,
)

LOINC, SNOMED, PRIVATE = "LN", "SCT", "99FUNDUSD"
SYSTEMS = {
    LOINC: "http://loinc.org",
    SNOMED: "http://snomed.info/sct",
    PRIVATE: "urn:x-fundusd:codes",
}
LONGEST_MEANING = 64  # DICOM LO


class Code(NamedTuple):
    """A coded concept.

    `scheme` is the coding scheme designator in DICOM.
    """

    value: str
    scheme: str
    meaning: str


# loinc.org/LL2117-1 names the two terms: the lower number is the left eye
SEVERITY_OF_EYE = {
    Eye.RIGHT: Code("71491-5", LOINC, "Right eye Diabetic retinopathy severity level"),
    Eye.LEFT: Code("71490-7", LOINC, "Left eye Diabetic retinopathy severity level"),
    Eye.UNKNOWN: Code("severity", PRIVATE, "Diabetic retinopathy severity level, eye not known"),
}
SEVERITY = {
    Grade.NO_DR: Code("LA18643-9", LOINC, "No apparent retinopathy"),
    Grade.MILD: Code("LA18644-7", LOINC, "Mild non-proliferative retinopathy"),
    Grade.MODERATE: Code("LA18645-4", LOINC, "Moderate non-proliferative retinopathy"),
    Grade.SEVERE: Code("LA18646-2", LOINC, "Severe non-proliferative retinopathy"),
    Grade.PDR: Code("LA18648-8", LOINC, "Proliferative retinopathy"),
}
# the model's own grade; LOINC and SNOMED CT are only for what a reader has found, because programs
# act on them: a record of LA18643-9, for example, ends the search for a due eye examination
MODEL_GRADE = {
    grade: Code(
        f"model-grade-{grade.value}", PRIVATE, f"{severity.meaning}, suggested by the model"
    )
    for grade, severity in SEVERITY.items()
}
# no SNOMED CT code for the absence of retinopathy has been verified
FINDING = {
    Grade.MILD: Code(
        "312903003", SNOMED, "Mild nonproliferative retinopathy due to diabetes mellitus"
    ),
    Grade.MODERATE: Code(
        "312904009", SNOMED, "Moderate nonproliferative retinopathy due to diabetes"
    ),
    Grade.SEVERE: Code(
        "312905005", SNOMED, "Severe nonproliferative retinopathy due to diabetes mellitus"
    ),
    Grade.PDR: Code("59276001", SNOMED, "Proliferative retinopathy due to diabetes mellitus"),
}
EYE = Code("81745001", SNOMED, "Eye")
LATERALITY = {
    Eye.RIGHT: Code("24028007", SNOMED, "Right"),
    Eye.LEFT: Code("7771000", SNOMED, "Left"),
}
BODY_SITE = {
    Eye.RIGHT: Code("18944008", SNOMED, "Right eye structure"),
    Eye.LEFT: Code("8966001", SNOMED, "Left eye structure"),
    Eye.UNKNOWN: EYE,
}
NAMES = {
    Eye.RIGHT: "right eye (OD)",
    Eye.LEFT: "left eye (OS)",
    Eye.UNKNOWN: "eye not known",
}

OUTCOME = Code("outcome", PRIVATE, "What became of the photographs")
REASON = Code("reason", PRIVATE, "Why there is no grade")
ACTION = Code("action", PRIVATE, "What to do next")
REFERABLE = Code("referable", PRIVATE, "To be referred, by the rule of the release")
MISSING_FIELDS = Code("missing_field", PRIVATE, "Expected field that was not photographed")
MODEL_SEVERITY = Code("model-severity", PRIVATE, "Severity level by the model")
VERDICT = Code("verdict", PRIVATE, "What the reader says about the result")
READER_REFERABLE = Code("reader-referable", PRIVATE, "To be referred, according to the reader")
DISAGREES = Code("disagrees", PRIVATE, "Why the reader disagrees")
LESION = Code("lesion", PRIVATE, "Lesion other than diabetic retinopathy")
MACULOPATHY = Code("maculopathy", PRIVATE, "Diabetic maculopathy, as UK programmes grade it")
PHOTOCOAGULATION = Code("photocoagulation", PRIVATE, "Photocoagulation, as UK programmes grade it")
STABLE_TREATED = Code("r3s", PRIVATE, "Proliferative retinopathy, treated and stable (R3S)")
REPORT = Code("report", PRIVATE, "Diabetic retinopathy grading, research use only")
SCORES = tuple(Code(f"score-{grade.value}", PRIVATE, f"Score of {grade.label}") for grade in Grade)

_ACTIONS = {
    Action.RETAKE: "Take the photograph again",
    Action.REFER_READER: "Have a reader look at it",
    Action.CONTACT_IT: "Contact IT",
    Action.NONE: "Nothing",
}


def private_code(value: Outcome | Reason | Action | Referable | ReviewVerdict | str) -> Code:
    """Return the code of a value in fundusd's own coding scheme.

    >>> private_code(Reason.TOO_DARK)
    Code(value='too_dark', scheme='99FUNDUSD', meaning='Too dark')
    """
    if isinstance(value, Action):
        return Code(f"action-{value}", PRIVATE, _ACTIONS[value])
    return Code(str(value), PRIVATE, str(value).replace("_", " ").capitalize()[:LONGEST_MEANING])


def severity_codes(grade: Grade) -> list[Code]:
    """Return the LOINC code of a reader's grade, followed by its SNOMED CT code if there is one."""
    severity = [SEVERITY[grade]]
    if grade in FINDING:
        severity.append(FINDING[grade])
    return severity
