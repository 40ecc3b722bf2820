"""The trade's words as frozen types, and the protocols that services are written against."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]
    Logits = npt.NDArray[np.float32]
    Embeddings = npt.NDArray[np.float32]
    Seen = tuple[bytes, bytes, int, int, int, int]  # directory, name and change signal, the inode in 64 signed bits


# a full sweep rests so many times as long as it took: one core in twenty, however large the inbox
SWEEP_SHARE = 20
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
    CALL_IT = "call_it"
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
        return _ACTIONS.get(self, Action.CALL_IT if self.outcome is Outcome.FAILED else Action.NONE)


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


class DeliveryState(StrEnum):
    """Where a document for a receiver is: queued -> delivered | failed, and queued again by any change of its exam."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"


class DocumentKind(StrEnum):
    """What a receiver wants of an exam."""

    SR = "sr"
    FHIR = "fhir"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Subscription:
    """That a receiver is to be told of exams: of which document, when, and how long after the last change."""

    receiver: str
    document: DocumentKind
    when_reviewed: bool  # not before a human has settled every eye
    quiet_seconds: float


FILE_REASONS = (Reason.FILE_MISSING, Reason.FILE_CHANGED, Reason.FILE_UNREADABLE)


class Ignored(StrEnum):
    """Why a file in an inbox is no capture; counted, never silent."""

    TEMPORARY_NAME = "temporary_name"
    SYMLINK = "symlink"
    NOT_A_REGULAR_FILE = "not_a_regular_file"
    SIDECAR = "sidecar"
    OTHER_IMAGE_FORMAT = "other_image_format"
    BASELINE = "baseline"


class Waiting(StrEnum):
    """Why a file is not complete yet."""

    EMPTY = "empty"
    CHANGING = "changing"
    HELD = "held"  # a process has it open for writing
    UNREADABLE = "unreadable"


class Offline(StrEnum):
    """Why an inbox counts as away; what it held is remembered."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    EMPTY = "empty"  # another directory than before, with nothing in it: a mount point without its mount
    MASS_DISAPPEARANCE = "mass_disappearance"


class Preprocessing(StrEnum):
    """How RGB becomes the model's square; recorded in the release."""

    PAD_SQUARE = "pad-square/bilinear448"
    CROP_SQUARE = "crop-square/pil-bilinear448"
    CROP_DISC = "crop-disc/bilinear448"


class JobState(StrEnum):
    """Where a job is: queued -> running -> succeeded | failed."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class MediaType(StrEnum):
    """What the bytes are, by content."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    TIFF = "image/tiff"
    DICOM = "application/dicom"


class Stat(NamedTuple):
    """What a sweep sees of a file; times in nanoseconds. The change signal, never an identity.

    A tuple, as is a sighting: a sweep makes two for each file of the inbox, and a dataclass takes three times as long.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """A camera's watched export folder."""

    camera_id: str
    root: Path


class Sighting(NamedTuple):
    """What the ledger remembers of a path from the last time it was dealt with."""

    stat: Stat
    ignored: Ignored | None  # None: the path holds a capture
    missing: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A settled capture as the watcher found it; `path` is relative to the inbox, in bytes."""

    camera_id: str
    path: bytes
    stat: Stat
    digest: str  # sha256 of the bytes, hex
    hinted: bool  # a hint named its directory before a sweep did
    backlog: bool  # lay there before the camera was first swept


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a full sweep of an inbox saw."""

    files: int
    directories: int
    ignored: Mapping[Ignored, int]
    waiting: int  # seen, not yet settled
    seconds: float
    hints_healthy: bool
    mode: str  # "native" | "sweep-only"
    lease_probe: str  # "writer-lease" | "double-quiet" | "unknown"
    watches: int = 0  # that the kernel holds for us: one per directory, or hints miss some
    hinted: int = 0  # captures first found by a hint since the start
    swept: int = 0  # by a sweep


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where an inbox was when files were last seen in it, and since when and why it counts as away."""

    place: str | None
    offline_reason: Offline | None
    offline_since: datetime | None


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A file that waits to be complete, and since when; given up for now once it is quarantined."""

    reason: Waiting
    size: int
    since: datetime
    quarantined_at: datetime | None = None  # any change of the file opens it again


class Admission(StrEnum):
    """What admitting a settled capture came to."""

    ADMITTED = "admitted"  # new capture, its bytes wait for a worker
    REUSED = "reused"  # new capture, the same bytes were classified before
    MOVED = "moved"  # new capture, the old path is gone
    TOUCHED = "touched"  # the same bytes at the same path: only the change signal moved


@dataclass(frozen=True, slots=True)
class Content:
    """What the bytes themselves say of a capture; the same wherever they lie.

    `warnings` holds short codes, never values from the file.
    """

    media_type: MediaType
    width: int | None = None
    height: int | None = None
    eye: Eye = Eye.UNKNOWN
    eye_source: EyeSource = EyeSource.NONE
    patient_id: str | None = None
    issuer: str | None = None
    study_uid: str | None = None
    sop_uid: str | None = None
    acquired_at: datetime | None = None
    warnings: tuple[str, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder made of some bytes: pixels ready for the model, or the reason why not."""

    content: Content | None
    reason: Reason | None
    pixels: Pixels | None  # uint8 [side, side, 3], RGB, preprocessed
    decode_ms: float


@dataclass(frozen=True, slots=True)
class Release:
    """Everything that fixes a number; nothing that changes a score may change without a new one."""

    model: str
    revision: str
    weights_digest: str
    tokenizer_digest: str
    files: Mapping[str, str]  # file name -> sha256, hex
    preprocessing: str
    prompt_set: str
    prompt_digest: str
    head: str
    referable_rule: str
    quality_gate: str
    dtype: str
    runtime: str  # backend, its version, device
    program_version: str


class Proof(NamedTuple):
    """How near a model's answers to known phantoms are to the right ones, and how near they must be."""

    cosine: float
    tolerance: float  # of its dtype


class Classifier(Protocol):
    """The model as the worker sees it; owned and called by one thread only."""

    @property
    def forward_limit(self) -> int:
        """Return how many captures one forward should take at most."""
        ...

    @property
    def overlaps(self) -> bool:
        """Tell whether a second forward may be begun before the answer of the first is taken."""
        ...

    def begin(self, pixels: Pixels) -> Callable[[], Logits]:
        """Start on up to `forward_limit` captures; calling what is returned waits for their logits, once."""
        ...

    def logits(self, pixels: Pixels) -> Logits:
        """Classify uint8 [b, side, side, 3] into float32 [b, 5] raw logits; raises OutOfMemory."""
        ...

    def prove(self) -> Iterator[Proof]:
        """Answer known phantoms again, forward by forward; raises ModelRefused. One batch may be in flight."""
        ...

    def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
        """Return files of the model that were touched; raises ModelError for one that changed, or is gone."""
        ...


class Service(Protocol):
    """A supervised thread."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; returning or raising earlier ends the daemon."""
        ...
