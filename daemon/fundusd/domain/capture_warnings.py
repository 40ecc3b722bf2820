"""Warnings that a capture may carry beside its grade or reason."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


class CaptureWarning(StrEnum):
    """What is doubtful or unusual about a capture; docs/reasons.md documents each code."""

    # the pixels
    TRAILING_BYTES = "trailing_bytes"  # bytes follow the complete image and are not read
    TURNED = "turned"  # the Exif orientation was applied
    ICC_CONVERTED = "icc_converted"  # the colour profile was converted to sRGB
    ICC_UNUSABLE = "icc_unusable"  # the colour profile is broken and was ignored
    CMYK_WITHOUT_PROFILE = "cmyk_without_profile"  # CMYK, converted without a profile
    GREY = "grey"  # the file has one channel
    SECONDARY_CAPTURE = "secondary_capture"  # a DICOM screenshot or export
    BURNED_IN_ANNOTATION = "burned_in_annotation"  # the header: text in the pixels, perhaps a name
    TEXT_IN_SURROUND = "text_in_surround"  # the pixels: text beside the retina, perhaps a name
    PIXELS_NOT_SQUARE = "pixels_not_square"  # the header says so; the picture is used as stored
    # which eye
    EYE_BOTH = "eye_both"  # the header or the camera's database names both eyes
    EYE_MAYBE_LEFT = "eye_maybe_left"  # a word of the path may mean the left eye or be a surname
    EYE_MAYBE_RIGHT = "eye_maybe_right"  # a word of the path may mean the right eye or be a surname
    EYE_CONFLICT = "eye_conflict"  # sources name different eyes
    EYE_CONTRADICTED = "eye_contradicted"  # the optic disc lies on the side of the other eye
    # which field
    FIELD_CONFLICT = "field_conflict"  # sources (also the pixels) give different fields
    # which patient
    PATIENT_CONFLICT = "patient_conflict"  # sources name different patients
    DIGEST_OF_TWO_PATIENTS = "digest_of_two_patients"  # another patient has the same bytes
    PATIENT_BLANK = "patient_blank"  # the header has no patient identifier, or a placeholder
    PATIENT_IS_UID = "patient_is_uid"  # the PatientID is a UID and is ignored
    UID_INVALID = "uid_invalid"  # a Study or SOP Instance UID is malformed and is ignored
    NOT_A_PATIENT = "not_a_patient"  # a test, a phantom, a quality control image or an animal
    # when
    CLOCK_SKEW = "clock_skew"  # the camera's clock is wrong: do not rely on acquired_at
    # the camera's own database
    LOOKUP_NO_ROW = "lookup_no_row"  # the query returned no row
    LOOKUP_AMBIGUOUS = "lookup_ambiguous"  # the query returned several rows
    LOOKUP_LOCKED = "lookup_locked"  # the database was locked or too slow
    LOOKUP_MISSING = "lookup_missing"  # the database file is missing or may not be read
    LOOKUP_BROKEN = "lookup_broken"  # the query does not fit the database, or the file is damaged
    # the path
    NAME_UNMATCHED = "name_unmatched"  # no pattern of the camera matches the path
    EYE_UNREADABLE = "eye_unreadable"  # the text at the position of the eye is not an eye
    PATIENT_UNREADABLE = (
        "patient_unreadable"  # the text at the position of the patient is not an identifier
    )
    DATE_UNREADABLE = "date_unreadable"  # the text at the position of the date is not a date
    TIME_UNREADABLE = "time_unreadable"  # the text at the position of the time is not a time
    DATE_CONFLICT = "date_conflict"  # sources, or two parts of the path, give different dates
    TIME_CONFLICT = "time_conflict"  # two parts of the path give different times


# what a person answers who says which eye a photograph shows, or whose it is
EYE_QUESTIONS = frozenset(
    {
        CaptureWarning.EYE_BOTH,
        CaptureWarning.EYE_MAYBE_LEFT,
        CaptureWarning.EYE_MAYBE_RIGHT,
        CaptureWarning.EYE_CONFLICT,
        CaptureWarning.EYE_CONTRADICTED,
        CaptureWarning.EYE_UNREADABLE,
    }
)
PATIENT_QUESTIONS = frozenset(
    {
        CaptureWarning.PATIENT_CONFLICT,
        CaptureWarning.DIGEST_OF_TWO_PATIENTS,
        CaptureWarning.NOT_A_PATIENT,
        CaptureWarning.PATIENT_UNREADABLE,
    }
)

# the picture must not be drawn on a page, which may leave the clinic
TEXT_WARNINGS = frozenset({CaptureWarning.BURNED_IN_ANNOTATION, CaptureWarning.TEXT_IN_SURROUND})

# what the reader of a photograph should know, in the words that staff read and with the most
# important first; the other codes concern only whoever looks after the cameras
WORDING = {
    CaptureWarning.EYE_CONTRADICTED: (
        "the optic disc lies on the side of the other eye: check that the eyes were not swapped"
    ),
    CaptureWarning.PATIENT_CONFLICT: (
        "the file, its name or the camera's database name different patients: "
        "check whose photograph it is"
    ),
    CaptureWarning.DIGEST_OF_TWO_PATIENTS: (
        "another patient has the same photograph: check whose it is"
    ),
    CaptureWarning.NOT_A_PATIENT: (
        "the file says that this is a test, a phantom, a quality control image or an animal"
    ),
    CaptureWarning.EYE_CONFLICT: "the file, its name or the camera's database name different eyes",
    CaptureWarning.EYE_BOTH: "the file or the camera's database names both eyes",
    CaptureWarning.FIELD_CONFLICT: (
        "the file, its name or the picture itself show different fields: "
        "check whether this is the macula or the optic disc"
    ),
    CaptureWarning.EYE_MAYBE_LEFT: "a word of the name may mean the left eye",
    CaptureWarning.EYE_MAYBE_RIGHT: "a word of the name may mean the right eye",
    CaptureWarning.EYE_UNREADABLE: "the eye in the file or its name cannot be read",
    CaptureWarning.PATIENT_UNREADABLE: "the patient in the file or its name cannot be read",
    CaptureWarning.BURNED_IN_ANNOTATION: "text is burned into the picture; it may be a name",
    CaptureWarning.TEXT_IN_SURROUND: "there is text beside the retina; it may be a name",
    CaptureWarning.PIXELS_NOT_SQUARE: "the picture is distorted, because its pixels are not square",
    CaptureWarning.GREY: "the picture has no colours",
    CaptureWarning.ICC_UNUSABLE: "the colour profile is damaged, so the colours may be wrong",
    CaptureWarning.CMYK_WITHOUT_PROFILE: "there is no colour profile, so the colours may be wrong",
    CaptureWarning.SECONDARY_CAPTURE: "this is a screenshot or an export, not the original",
    CaptureWarning.CLOCK_SKEW: (
        "the camera's clock is wrong: do not rely on the time of the photograph"
    ),
}


def in_words(codes: Collection[str]) -> list[str]:
    """Return the wording of the warnings that concern the reader, with the most important first.

    Warnings that do not concern the reader are left out, and so are codes of a newer version.

    >>> in_words(["turned", "grey"])
    ['the picture has no colours']
    """
    texts: list[str] = []
    for warning, text in WORDING.items():
        if warning in codes:
            texts.append(text)
    return texts
