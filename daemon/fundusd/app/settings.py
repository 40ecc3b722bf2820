"""Define the sections of the settings file, and the type, limits and default of each key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fundusd.app.camera_settings import CameraSettings  # noqa: TC001  pydantic reads it
from fundusd.app.folder_overlaps import overlap
from fundusd.app.settings_rules import (
    AbsolutePath,
    Identifier,
    Section,
    StoreUrl,
    WebUrl,
)
from fundusd.domain.decoding import Preprocessing
from fundusd.domain.delivery import DocumentKind, Subscription
from fundusd.domain.errors import SettingsError
from fundusd.outbox import transports


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
