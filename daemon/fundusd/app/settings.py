"""Define the sections of the settings file, and the type, limits and default of each key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fundusd.app.folder_overlaps import overlap
from fundusd.app.settings_clinic import (
    ReaderSettings,
    ReadingSettings,
    RecallSettings,
    SiteSettings,
)
from fundusd.app.settings_rules import (
    AbsolutePath,
    Identifier,
    IgnoreGlobs,
    LookupQuery,
    PathPattern,
    RequiredUri,
    WebUrl,
    absolute,
)
from fundusd.app.settings_section import Section
from fundusd.app.settings_service import (
    DecodeSettings,
    IntakeSettings,
    LogSettings,
    ModelSettings,
    StoreSettings,
)
from fundusd.clinical.camera_conventions import ConventionName  # noqa: TC001  pydantic reads it
from fundusd.clinical.camera_database import Lookup
from fundusd.clinical.eye_languages import LanguageName  # noqa: TC001  pydantic reads it
from fundusd.clinical.path_rules import Naming
from fundusd.clinical.quality_thresholds import BOUNDS, DEFAULTS, Thresholds
from fundusd.domain.delivery import DocumentKind, Subscription
from fundusd.domain.errors import SettingsError
from fundusd.domain.files import Inbox
from fundusd.outbox import transports


def _threshold(name: str) -> Any:
    low, high = BOUNDS[name]
    return Field(default=getattr(DEFAULTS, name), ge=low, le=high)


class PrivacySettings(Section):
    """[privacy]: how patient identifiers are stored, and the file of the key that hides them."""

    identifiers: Literal["clear", "pseudonymous"] = "clear"
    issuer: Annotated[str, Field(max_length=256)] = ""
    site_key_file: Annotated[AbsolutePath, Field(strict=False)] = Path("/var/lib/fundusd/site.key")
    # the URI of each issuer's identifiers in FHIR; "" stands for identifiers without an issuer
    issuers: dict[Annotated[str, Field(max_length=256)], RequiredUri] = Field(default_factory=dict)


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


class Settings(Section):
    """The settings: all sections of the file, checked against each other."""

    store: StoreSettings = StoreSettings()
    model: ModelSettings = ModelSettings()
    intake: IntakeSettings = IntakeSettings()
    decode: DecodeSettings = DecodeSettings()
    privacy: PrivacySettings = PrivacySettings()
    site: SiteSettings = SiteSettings()
    reading: ReadingSettings = ReadingSettings()
    recall: RecallSettings = RecallSettings()
    outbox: OutboxSettings = OutboxSettings()
    camera: Annotated[tuple[CameraSettings, ...], Field(strict=False)] = ()
    receiver: Annotated[tuple[ReceiverSettings, ...], Field(strict=False)] = ()
    reader: Annotated[tuple[ReaderSettings, ...], Field(strict=False)] = ()
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
        listed = (("camera", self.camera), ("receiver", self.receiver), ("reader", self.reader))
        for kind, sections in listed:
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
