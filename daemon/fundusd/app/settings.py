"""Define the sections of the settings file, and the type, limits and default of each key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from fundusd.app.camera_settings import CameraSettings  # noqa: TC001  pydantic reads it
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
    OneLine,
    RequiredUri,
    WebUrl,
    is_open_http,
)
from fundusd.app.settings_section import Section
from fundusd.app.settings_service import (
    DecodeSettings,
    IntakeSettings,
    LogSettings,
    ModelSettings,
    StoreSettings,
)
from fundusd.domain.delivery import DocumentKind, Subscription
from fundusd.domain.errors import SettingsError

if TYPE_CHECKING:
    from fundusd.outbox.credentials import Credentials


class PrivacySettings(Section):
    """[privacy]: how patient identifiers are stored, and the file of the key that hides them."""

    identifiers: Literal["clear", "pseudonymous"] = "clear"
    issuer: Annotated[str, Field(max_length=256)] = ""
    site_key_file: Annotated[AbsolutePath, Field(strict=False)] = Path("/var/lib/fundusd/site.key")
    # the URI of each issuer's identifiers in FHIR; "" stands for identifiers without an issuer
    issuers: dict[Annotated[str, Field(max_length=256)], RequiredUri] = Field(default_factory=dict)


class OutboxSettings(Section):
    """[outbox]: when documents are sent to the receivers."""

    quiet_seconds: Annotated[float, Field(ge=0, le=86400)] = 60.0


class ReceiverSettings(Section):
    """[[receiver]]: a system that receives documents about exams."""

    id: Identifier
    document: Annotated[DocumentKind, Field(strict=False)]
    when: Literal["resulted", "reviewed"] = "resulted"
    folder: Annotated[AbsolutePath, Field(strict=False)] | None = None
    dicom: Annotated[str, Field(pattern=r"^[^@\s]{1,16}@[A-Za-z0-9._-]+:[0-9]{1,5}$")] = ""
    stow: WebUrl = ""
    fhir: WebUrl = ""
    insecure: bool = False
    token_file: Annotated[AbsolutePath, Field(strict=False)] | None = None
    oauth_token_url: WebUrl = ""
    oauth_client_id: OneLine = ""
    oauth_secret_file: Annotated[AbsolutePath, Field(strict=False)] | None = None
    oauth_scope: OneLine = ""

    @model_validator(mode="after")
    def _has_one_transport_that_carries_the_document(self) -> ReceiverSettings:
        from fundusd.outbox import transports  # not all sites have a receiver

        possible = transports.carrying(self.document)
        chosen = self._transports()
        if len(chosen) != 1 or chosen[0] not in possible:
            keys = ", ".join(possible)
            excess = f" (given: {', '.join(chosen)})" if chosen else ""
            raise ValueError(f"document {self.document} needs exactly one of: {keys}{excess}")
        return self

    @model_validator(mode="after")
    def _has_credentials_of_one_kind(self) -> ReceiverSettings:
        client = (self.oauth_token_url, self.oauth_client_id, self.oauth_secret_file)
        if any(client) != all(client) or (self.oauth_scope and not any(client)):
            raise ValueError(
                "oauth_token_url, oauth_client_id and oauth_secret_file belong together"
            )
        if self.token_file and any(client):
            raise ValueError("needs either token_file or the keys that begin with oauth_, not both")
        if (self.token_file or any(client)) and not (self.stow or self.fhir):
            raise ValueError("credentials are only for stow and fhir")
        return self

    @model_validator(mode="after")
    def _keeps_documents_from_the_network(self) -> ReceiverSettings:
        for key in ("stow", "fhir", "oauth_token_url"):
            if not self.insecure and is_open_http(getattr(self, key)):
                raise ValueError(
                    f"{key} sends patients' results or credentials unencrypted over the network; "
                    "use https://, or accept this with insecure = true"
                )
        return self

    @property
    def credentials(self) -> Credentials | None:
        """Return the receiver's credentials, or None if the settings name none."""
        from fundusd.outbox.credentials import BearerToken, ClientCredentials

        if self.token_file is not None:
            return BearerToken(self.token_file)
        if self.oauth_secret_file is not None:
            return ClientCredentials(
                self.oauth_token_url, self.oauth_client_id, self.oauth_secret_file, self.oauth_scope
            )
        return None

    def _transports(self) -> list[str]:
        from fundusd.outbox import transports

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

    @property
    def reader_names(self) -> dict[str, str]:
        """Return the names of the readers that have one, keyed by their ids."""
        return {reader.id: reader.name for reader in self.reader if reader.name}

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
