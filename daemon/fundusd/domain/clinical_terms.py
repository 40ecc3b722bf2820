"""Clinical terms: eyes, grades, outcomes, reasons, actions and reviews."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Self

SAFETY_WORDS = "For research use only; not a medical device; macular oedema not assessed."


class Eye(StrEnum):
    """Which eye a capture shows: right (OD), left (OS) or unknown."""

    RIGHT = "R"
    LEFT = "L"
    UNKNOWN = "U"


class EyeSource(StrEnum):
    """The source from which the eye was read."""

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
        """Return the name of the grade, as given in the model's reference example."""
        return ("No DR", "Mild DR", "Moderate DR", "Severe DR", "PDR")[self]


class Referable(StrEnum):
    """Whether the patient is to be referred according to the rule of the release."""

    YES = "yes"
    NO = "no"
    INDETERMINATE = "indeterminate"


class Outcome(StrEnum):
    """The result of a capture."""

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
    """Why a capture has no grade, with the outcome, the next action and the wording for staff.

    This is the only table of reasons; docs/reasons.md documents each code and says why it has its
    action: RETAKE only where another photograph can be better, CONTACT_IT where the export, the
    transfer or the settings are at fault, REFER_READER where a reader can use the photograph, and
    NONE only where no photograph for grading is lost. The wording defaults to
    the code with spaces instead of underscores.
    """

    outcome: Outcome
    action: Action
    wording: str

    def __new__(
        cls,
        code: str,
        outcome: Outcome = Outcome.FAILED,
        action: Action = Action.CONTACT_IT,
        wording: str = "",
    ) -> Self:
        """Create a member whose value is its code.

        Each row states its outcome and action. The defaults exist for type checkers, which mistake
        the lookup `Reason(code)` for a call of this method.
        """
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.outcome = outcome
        reason.action = action
        reason.wording = wording or code.replace("_", " ")
        return reason

    # ungradable: a colour retina whose image quality is too poor
    TOO_DARK = "too_dark", Outcome.UNGRADABLE, Action.RETAKE
    TOO_BRIGHT = "too_bright", Outcome.UNGRADABLE, Action.RETAKE
    BLUR = "blur", Outcome.UNGRADABLE, Action.RETAKE
    LOW_CONTRAST = "low_contrast", Outcome.UNGRADABLE, Action.REFER_READER
    PARTIAL_FIELD = "partial_field", Outcome.UNGRADABLE, Action.RETAKE
    MEDIA_OPACITY = "media_opacity", Outcome.UNGRADABLE, Action.REFER_READER
    ARTEFACT = "artefact", Outcome.UNGRADABLE, Action.RETAKE
    COMPRESSION = (
        "compression",
        Outcome.UNGRADABLE,
        Action.CONTACT_IT,
        "the file is compressed too strongly",
    )
    SMALL = "small", Outcome.UNGRADABLE, Action.REFER_READER, "too few pixels"
    # refused: complete and readable, but not something this service grades
    NOT_RETINA = "not_retina", Outcome.REFUSED, Action.RETAKE, "no colour retina in the picture"
    WRONG_MODALITY = "wrong_modality", Outcome.REFUSED, Action.NONE, "no fundus photograph"
    REDFREE_OR_FA = "redfree_or_fa", Outcome.REFUSED, Action.NONE, "red-free or angiography"
    MONTAGE = "montage", Outcome.REFUSED, Action.REFER_READER, "several fields in one picture"
    MULTIFRAME = "multiframe", Outcome.REFUSED, Action.CONTACT_IT, "several pictures in one file"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax", Outcome.REFUSED, Action.CONTACT_IT
    UNSUPPORTED_PHOTOMETRIC = "unsupported_photometric", Outcome.REFUSED, Action.CONTACT_IT
    UNSUPPORTED_PIXELS = "unsupported_pixels", Outcome.REFUSED, Action.CONTACT_IT
    TOO_MANY_PIXELS = "too_many_pixels", Outcome.REFUSED, Action.CONTACT_IT
    TOO_MANY_BYTES = "too_many_bytes", Outcome.REFUSED, Action.CONTACT_IT
    # failed: an incomplete, damaged or contradictory file, or an error in this service
    TRUNCATED = "truncated", Outcome.FAILED, Action.CONTACT_IT, "the file is incomplete"
    DECODE_ERROR = "decode_error", Outcome.FAILED, Action.CONTACT_IT, "the file is damaged"
    UNKNOWN_FORMAT = "unknown_format", Outcome.FAILED, Action.CONTACT_IT
    NO_PIXEL_DATA = "no_pixel_data", Outcome.FAILED, Action.CONTACT_IT
    COLOUR_MISMATCH = "colour_mismatch", Outcome.FAILED, Action.CONTACT_IT
    CODEC_MISMATCH = "codec_mismatch", Outcome.FAILED, Action.CONTACT_IT
    TIMEOUT = "timeout", Outcome.FAILED, Action.CONTACT_IT
    OUT_OF_MEMORY = "out_of_memory", Outcome.FAILED, Action.CONTACT_IT
    DECODER_CRASHED = "decoder_crashed", Outcome.FAILED, Action.CONTACT_IT
    MODEL_ERROR = "model_error", Outcome.FAILED, Action.CONTACT_IT
    FILE_MISSING = "file_missing", Outcome.FAILED, Action.CONTACT_IT, "the file is gone"
    FILE_CHANGED = "file_changed", Outcome.FAILED, Action.CONTACT_IT, "the file was changed"
    FILE_UNREADABLE = (
        "file_unreadable",
        Outcome.FAILED,
        Action.CONTACT_IT,
        "the file cannot be read",
    )
    ATTEMPTS_EXHAUSTED = "attempts_exhausted", Outcome.FAILED, Action.CONTACT_IT


class QualityLevel(StrEnum):
    """The image quality of a photograph of a retina.

    Source: the levels of EyeQ (Fu et al., MICCAI 2019).
    """

    GOOD = "good"
    USABLE = "usable"  # graded, but a better photograph is easier to read
    REJECT = "reject"  # ungradable


class ReviewVerdict(StrEnum):
    """A human reader's verdict on the result for an eye."""

    AGREE = "agree"
    OVERRIDE = "override"
    UNGRADABLE = "ungradable"
    RETAKE = "retake"
    DEFER = "defer"

    @property
    def is_settled(self) -> bool:
        """Return whether the verdict settles the eye."""
        return self is not ReviewVerdict.DEFER


class ReviewReason(StrEnum):
    """Why a human reader disagrees with the result for an eye."""

    MISSED_LESION = "missed_lesion"
    FALSE_LESION = "false_lesion"
    LASER_SCARS = "laser_scars"
    NON_DR_PATHOLOGY = "non_dr_pathology"
    WRONG_EYE = "wrong_eye"
    POOR_IMAGE = "poor_image"
    OTHER = "other"


# the file is gone, unreadable or no longer the one that was admitted
FILE_REASONS = (Reason.FILE_MISSING, Reason.FILE_CHANGED, Reason.FILE_UNREADABLE)
