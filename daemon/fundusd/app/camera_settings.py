"""Define [[camera]] and its sections: the type, limits and default of each key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from fundusd.app.settings_rules import (
    AbsolutePath,
    Identifier,
    IgnoreGlobs,
    LookupQuery,
    PathPattern,
    absolute,
)
from fundusd.app.settings_section import Section
from fundusd.clinical.camera_conventions import ConventionName  # noqa: TC001  pydantic reads it
from fundusd.clinical.eye_languages import LanguageName  # noqa: TC001  pydantic reads it
from fundusd.clinical.quality_thresholds import BOUNDS, DEFAULTS, Thresholds
from fundusd.domain.exams import FieldProtocol
from fundusd.domain.files import Inbox

if TYPE_CHECKING:
    from fundusd.clinical.camera_database import Lookup
    from fundusd.clinical.path_rules import Naming


def _threshold(name: str) -> Any:
    low, high = BOUNDS[name]
    return Field(default=getattr(DEFAULTS, name), ge=low, le=high)


class LookupSettings(Section):
    """[camera.lookup]: the camera's own SQLite database, and the query that finds a capture."""

    database: Annotated[str, Field(max_length=4096)] = ""
    query: LookupQuery = ""

    @model_validator(mode="after")
    def _both_or_neither(self) -> LookupSettings:
        if bool(self.database) != bool(self.query):
            raise ValueError("database and query go together: set both, or leave both empty")
        if self.database:
            try:
                absolute(Path(self.database))
            except ValueError as error:
                raise ValueError(f"database {error}") from None
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
    fields: Annotated[FieldProtocol, Field(strict=False)] = FieldProtocol.ANY
    expected_fields: Annotated[tuple[Literal["macula", "disc"], ...], Field(strict=False)] = ()
    lookup: LookupSettings = LookupSettings()
    quality: QualitySettings = QualitySettings()

    @model_validator(mode="after")
    def _fields_agree(self) -> CameraSettings:
        expected = set(self.expected_fields)
        if self.fields is FieldProtocol.ONE and "disc" in expected:
            raise ValueError(
                'fields = "one" means that every photograph shows the macula: '
                "remove disc from expected_fields, or set fields to two or any"
            )
        if self.fields is FieldProtocol.TWO and expected not in (set(), {"macula", "disc"}):
            raise ValueError(
                'fields = "two" expects both the macula and the disc: '
                "leave expected_fields empty, or set fields to any"
            )
        return self

    @property
    def all_expected_fields(self) -> tuple[str, ...]:
        """Return `expected_fields`, or both fields if the camera photographs two."""
        if self.fields is FieldProtocol.TWO:
            return ("macula", "disc")
        return self.expected_fields

    @property
    def watched(self) -> Inbox:
        """Return the folder to watch, and what to pass over in it."""
        return Inbox(self.id, self.inbox, self.ignore)

    @property
    def naming(self) -> Naming:
        """Return the naming rules with which this camera's paths are read."""
        from fundusd.clinical.path_rules import Naming  # few commands need it, and it takes long

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
        from fundusd.clinical.camera_database import Lookup

        return Lookup(Path(self.lookup.database), self.lookup.query)
