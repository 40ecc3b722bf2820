"""Eyes, grades, outcomes, reasons and actions: the terms of the clinic."""

from __future__ import annotations

from enum import IntEnum, StrEnum

CLOCK_SKEW = "clock_skew"  # the warning that says not to believe acquired_at
SAFETY_WORDS = "For research use only; not a medical device; macular oedema not assessed."


class Eye(StrEnum):
    """Which eye a capture shows: OD, OS or not known."""

    RIGHT = "R"
    LEFT = "L"
    UNKNOWN = "U"


class EyeSource(StrEnum):
    """Where the eye was read from."""

    IMAGE_LATERALITY = "image_laterality"  # DICOM (0020,0062)
    LATERALITY = "laterality"  # DICOM (0020,0060)
    FRAME_LATERALITY = "frame_laterality"  # DICOM (0020,9072)
    NAME = "name"
    LOOKUP = "lookup"  # the camera's own database
    CONFLICT = "conflict"
    NONE = "none"


class Grade(IntEnum):
    """ICDR severity of diabetic retinopathy."""

    NO_DR = 0
    MILD = 1
    MODERATE = 2
    SEVERE = 3
    PDR = 4

    @property
    def label(self) -> str:
        """Name the grade as the reference example prints it."""
        return ("No DR", "Mild DR", "Moderate DR", "Severe DR", "PDR")[self]


class Referable(StrEnum):
    """Whether the rule of the release asks for a referral."""

    YES = "yes"
    NO = "no"
    INDETERMINATE = "indeterminate"


class Outcome(StrEnum):
    """What became of a capture."""

    GRADED = "graded"
    UNGRADABLE = "ungradable"
    REFUSED = "refused"
    FAILED = "failed"


class Action(StrEnum):
    """What staff should do next about an ungradable, refused or failed capture."""

    RETAKE = "retake"
    REFER_READER = "refer_reader"
    CONTACT_IT = "contact_it"
    NONE = "none"


class Reason(StrEnum):
    """Why a capture has no grade: the one list of codes, documented in docs/reasons.md."""

    # ungradable: a colour retina, but not one to grade
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLUR = "blur"
    LOW_CONTRAST = "low_contrast"
    PARTIAL_FIELD = "partial_field"
    MEDIA_OPACITY = "media_opacity"
    ARTEFACT = "artefact"
    SMALL = "small"
    # refused: complete and readable, but not something this service grades
    NOT_RETINA = "not_retina"
    WRONG_MODALITY = "wrong_modality"
    REDFREE_OR_FA = "redfree_or_fa"
    MONTAGE = "montage"
    MULTIFRAME = "multiframe"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    UNSUPPORTED_PHOTOMETRIC = "unsupported_photometric"
    UNSUPPORTED_PIXELS = "unsupported_pixels"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_BYTES = "too_many_bytes"
    # failed: not (yet) a whole, honest capture, or something of ours broke
    TRUNCATED = "truncated"
    DECODE_ERROR = "decode_error"
    UNKNOWN_FORMAT = "unknown_format"
    NO_PIXEL_DATA = "no_pixel_data"
    COLOUR_MISMATCH = "colour_mismatch"
    CODEC_MISMATCH = "codec_mismatch"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    DECODER_CRASHED = "decoder_crashed"
    MODEL_ERROR = "model_error"
    FILE_MISSING = "file_missing"
    FILE_CHANGED = "file_changed"
    FILE_UNREADABLE = "file_unreadable"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"

    @property
    def outcome(self) -> Outcome:
        """Tell which outcome a capture with this reason has."""
        if self in _UNGRADABLE:
            return Outcome.UNGRADABLE
        return Outcome.REFUSED if self in _REFUSED else Outcome.FAILED

    @property
    def action(self) -> Action:
        """Tell staff what to do next."""
        return _ACTIONS.get(
            self, Action.CONTACT_IT if self.outcome is Outcome.FAILED else Action.NONE
        )


_UNGRADABLE = frozenset(
    {
        Reason.TOO_DARK,
        Reason.TOO_BRIGHT,
        Reason.BLUR,
        Reason.LOW_CONTRAST,
        Reason.PARTIAL_FIELD,
        Reason.MEDIA_OPACITY,
        Reason.ARTEFACT,
        Reason.SMALL,
    }
)
_REFUSED = frozenset(
    {
        Reason.NOT_RETINA,
        Reason.WRONG_MODALITY,
        Reason.REDFREE_OR_FA,
        Reason.MONTAGE,
        Reason.MULTIFRAME,
        Reason.UNSUPPORTED_TRANSFER_SYNTAX,
        Reason.UNSUPPORTED_PHOTOMETRIC,
        Reason.UNSUPPORTED_PIXELS,
        Reason.TOO_MANY_PIXELS,
        Reason.TOO_MANY_BYTES,
    }
)
_ACTIONS = {
    Reason.TOO_DARK: Action.RETAKE,
    Reason.TOO_BRIGHT: Action.RETAKE,
    Reason.BLUR: Action.RETAKE,
    Reason.LOW_CONTRAST: Action.RETAKE,
    Reason.PARTIAL_FIELD: Action.RETAKE,
    Reason.MEDIA_OPACITY: Action.REFER_READER,
    Reason.ARTEFACT: Action.RETAKE,
    Reason.SMALL: Action.REFER_READER,
    Reason.NOT_RETINA: Action.RETAKE,
    Reason.TRUNCATED: Action.RETAKE,
}


class ReviewVerdict(StrEnum):
    """What a human reader says of an eye's result."""

    AGREE = "agree"
    OVERRIDE = "override"
    UNGRADABLE = "ungradable"
    RETAKE = "retake"
    DEFER = "defer"

    @property
    def is_settled(self) -> bool:
        """Tell whether the eye needs no more reading."""
        return self is not ReviewVerdict.DEFER


class ReviewReason(StrEnum):
    """Why a human reader does not agree."""

    MISSED_LESION = "missed_lesion"
    FALSE_LESION = "false_lesion"
    LASER_SCARS = "laser_scars"
    NON_DR_PATHOLOGY = "non_dr_pathology"
    WRONG_EYE = "wrong_eye"
    POOR_IMAGE = "poor_image"
    OTHER = "other"


FILE_REASONS = (Reason.FILE_MISSING, Reason.FILE_CHANGED, Reason.FILE_UNREADABLE)
