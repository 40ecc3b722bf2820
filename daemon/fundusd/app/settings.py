"""Define the sections of the settings file, and the type, limits and default of each key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fundusd.app.folder_overlaps import overlap
from fundusd.app.settings_rules import (
    AbsolutePath,
    Identifier,
    IgnoreGlobs,
    LookupQuery,
    PathPattern,
    StoreUrl,
    WebUrl,
    absolute,
)
from fundusd.clinical.camera_conventions import ConventionName  # noqa: TC001  pydantic reads it
from fundusd.clinical.camera_database import Lookup
from fundusd.clinical.eye_languages import LanguageName  # noqa: TC001  pydantic reads it
from fundusd.clinical.path_rules import Naming
from fundusd.clinical.quality_thresholds import BOUNDS, DEFAULTS, Thresholds
from fundusd.domain.decoding import Preprocessing
from fundusd.domain.delivery import DocumentKind, Subscription
from fundusd.domain.errors import SettingsError
from fundusd.domain.files import Inbox
from fundusd.outbox import transports


def _threshold(name: str) -> Any:
    low, high = BOUNDS[name]
    return Field(default=getattr(DEFAULTS, name), ge=low, le=high)


class Section(BaseModel):
    """A section of the settings file.

    It refuses unknown keys and numbers that are not finite, and converts values only for keys that
    allow this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class StoreSettings(Section):
    """[store]: where results and the audit log are kept."""

    url: StoreUrl = "sqlite:////var/lib/fundusd/fundusd.db"
    password_file: str = ""

    @property
    def sqlite_file(self) -> Path | None:
        """Return the path of the SQLite database, or None for PostgreSQL."""
        if not self.url.startswith("sqlite:///"):
            return None
        return Path(self.url.removeprefix("sqlite:///").partition("?")[0])

    def password(self) -> str | None:
        """Return the password in `password_file`, or None if no file is named.

        Raises SettingsError if the file cannot be read.
        """
        if not self.password_file:
            return None
        try:
            return Path(self.password_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(
                f"[store] password_file cannot be read ({error.strerror}).",
                hint="Create the file for the user that fundusd runs as, with mode 0400.",
            ) from None


class ModelSettings(Section):
    """[model]: the model and how it runs."""

    source: str = "google/medsiglip-448"
    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")] = ""
    weights_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    backend: Literal["torch", "openvino"] = "torch"
    exact: bool = False
    batch_size: Annotated[int, Field(ge=1, le=256)] = 16
    prompts: str = "icdr-descriptive"
    referable: str = "icdr>=2/argmax"
    preprocessing: Annotated[Preprocessing, Field(strict=False)] = Preprocessing.PAD_SQUARE

    @model_validator(mode="after")
    def _exact_is_not_narrow(self) -> ModelSettings:
        if self.exact and self.dtype == "bfloat16":
            raise ValueError(
                "exact = true requires float32: set dtype to auto or float32, or exact to false"
            )
        return self


class IntakeSettings(Section):
    """[intake]: how files are found, and when they count as captures."""

    quiet_seconds: Annotated[float, Field(gt=0, le=3600, strict=False)] = 2.0
    sweep_seconds: Annotated[float, Field(gt=0, le=86400, strict=False)] = 30.0
    mode: Literal["auto", "native", "sweep-only"] = "auto"
    backlog: Literal["newest-first", "baseline"] = "newest-first"
    grace_seconds: Annotated[float, Field(gt=0, le=86400, strict=False)] = 600.0
    retry_seconds: Annotated[
        tuple[Annotated[float, Field(ge=0, strict=False)], ...], Field(max_length=10, strict=False)
    ] = (10.0, 60.0, 600.0)


class DecodeSettings(Section):
    """[decode]: the limits of the decoder processes."""

    processes: Annotated[int, Field(ge=0, le=64)] = 0
    seconds: Annotated[float, Field(gt=0, le=600, strict=False)] = 20.0
    memory_mb: Annotated[int, Field(ge=256)] = 3072
    max_mb: Annotated[int, Field(ge=1)] = 256
    max_megapixels: Annotated[int, Field(ge=1, le=1000)] = 60


class PrivacySettings(Section):
    """[privacy]: how patient identifiers are stored, and the file of the key that hides them."""

    identifiers: Literal["clear", "pseudonymous"] = "clear"
    issuer: Annotated[str, Field(max_length=256)] = ""
    site_key_file: Annotated[AbsolutePath, Field(strict=False)] = Path("/var/lib/fundusd/site.key")


class LookupSettings(Section):
    """[camera.lookup]: the camera's own SQLite database, and the query that finds a capture."""

    database: Annotated[str, Field(max_length=4096)] = ""
    query: LookupQuery = ""

    @model_validator(mode="after")
    def _both_or_neither(self) -> LookupSettings:
        if bool(self.database) != bool(self.query):
            raise ValueError("database and query go together: set both, or leave both empty")
        if self.database:
            absolute(Path(self.database))
        return self


class QualitySettings(Section):
    """[camera.quality]: the thresholds beyond which a capture of the camera is ungradable."""

    min_side_pixels: int = _threshold("min_side_pixels")
    min_luminance: float = _threshold("min_luminance")
    max_luminance: float = _threshold("max_luminance")
    max_saturated: float = _threshold("max_saturated")
    min_field: float = _threshold("min_field")
    max_glare: float = _threshold("max_glare")
    min_sharpness: float = _threshold("min_sharpness")
    min_visibility: float = _threshold("min_visibility")
    max_haze: float = _threshold("max_haze")


class CameraSettings(Section):
    """[[camera]]: a camera, with the folder to which it exports."""

    id: Identifier
    inbox: Annotated[AbsolutePath, Field(strict=False)]
    convention: ConventionName = "generic"
    pattern: PathPattern = ""
    languages: Annotated[tuple[LanguageName, ...], Field(strict=False)] = ()
    ignore: IgnoreGlobs = ()
    expected_fields: Annotated[tuple[Literal["macula", "disc"], ...], Field(strict=False)] = ()
    lookup: LookupSettings = LookupSettings()
    quality: QualitySettings = QualitySettings()

    @property
    def watched(self) -> Inbox:
        """Return the folder to watch, and what to pass over in it."""
        return Inbox(self.id, self.inbox, self.ignore)

    @property
    def naming(self) -> Naming:
        """Return the naming rules with which this camera's paths are read."""
        return Naming.of(self.convention, self.pattern, self.languages)

    @property
    def thresholds(self) -> Thresholds:
        """Return the quality thresholds of this camera."""
        return Thresholds(**self.quality.model_dump())

    @property
    def own_database(self) -> Lookup | None:
        """Return this camera's own database with its query, or None if it has no database."""
        if not self.lookup.database:
            return None
        return Lookup(Path(self.lookup.database), self.lookup.query)


class OutboxSettings(Section):
    """[outbox]: when documents are sent to the receivers."""

    quiet_seconds: Annotated[float, Field(ge=0, le=86400, strict=False)] = 60.0


class ReceiverSettings(Section):
    """[[receiver]]: a system that receives documents about exams."""

    id: Identifier
    document: Annotated[DocumentKind, Field(strict=False)]
    when: Literal["resulted", "reviewed"] = "resulted"
    folder: Annotated[AbsolutePath, Field(strict=False)] | None = None
    dicom: Annotated[str, Field(pattern=r"^[^@\s]{1,16}@[A-Za-z0-9._-]+:[0-9]{1,5}$")] = ""
    stow: WebUrl = ""
    fhir: WebUrl = ""

    @model_validator(mode="after")
    def _has_one_transport_that_carries_the_document(self) -> ReceiverSettings:
        possible = transports.carrying(self.document)
        chosen = self._transports()
        if len(chosen) != 1 or chosen[0] not in possible:
            keys = ", ".join(possible)
            raise ValueError(f"document {self.document} needs exactly one of: {keys}")
        return self

    def _transports(self) -> list[str]:
        return [key for key in transports.TRANSPORTS if getattr(self, key)]

    @property
    def transport(self) -> str:
        """Return the key that sets the receiver's transport: folder, dicom, stow or fhir."""
        return self._transports()[0]

    @property
    def address(self) -> Path | str:
        """Return the receiver's address, which is the value of the key that sets its transport."""
        address: Path | str = getattr(self, self.transport)
        return address


class LogSettings(Section):
    """[log]: the level and format of log lines."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Settings(Section):
    """The settings: all sections of the file, checked against each other."""

    store: StoreSettings = StoreSettings()
    model: ModelSettings = ModelSettings()
    intake: IntakeSettings = IntakeSettings()
    decode: DecodeSettings = DecodeSettings()
    privacy: PrivacySettings = PrivacySettings()
    outbox: OutboxSettings = OutboxSettings()
    camera: Annotated[tuple[CameraSettings, ...], Field(strict=False)] = ()
    receiver: Annotated[tuple[ReceiverSettings, ...], Field(strict=False)] = ()
    log: LogSettings = LogSettings()

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return a subscription for each receiver: which document it gets, and when."""
        subscriptions = []
        for receiver in self.receiver:
            only_reviewed = receiver.when == "reviewed"
            subscriptions.append(
                Subscription(
                    receiver.id, receiver.document, only_reviewed, self.outbox.quiet_seconds
                )
            )
        return tuple(subscriptions)

    @model_validator(mode="after")
    def _ids_differ(self) -> Settings:
        for kind, sections in (("camera", self.camera), ("receiver", self.receiver)):
            counts = Counter(section.id for section in sections)
            repeated = sorted(name for name, count in counts.items() if count > 1)
            if repeated:
                raise ValueError(f"{kind} ids must differ: {', '.join(repeated)} is used twice")
        return self

    @model_validator(mode="after")
    def _inboxes_hold_nothing_else(self) -> Settings:
        problem = overlap(self)
        if problem is not None:
            raise ValueError(problem)
        return self


def require_camera(settings: Settings) -> None:
    """Raise SettingsError if the settings name no camera.

    Only some commands need a camera.
    """
    if not settings.camera:
        raise SettingsError(
            "No [[camera]] is set.", hint="Add one with id and inbox; see config/fundusd.toml."
        )
