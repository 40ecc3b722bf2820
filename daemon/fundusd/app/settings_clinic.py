"""The sections of the settings file that are about the clinic: site, readings, readers, recall."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from fundusd.app.settings_rules import (
    ConfirmedNegatives,
    Identifier,
    OneLine,
    Uri,
    confirmed_share,
)
from fundusd.app.settings_section import Section
from fundusd.domain.readings import ReaderPermission  # noqa: TC001  pydantic reads it

_Months = Annotated[int, Field(ge=1, le=36)]


class SiteSettings(Section):
    """[site]: the clinic, as documents and pages name it."""

    name: Annotated[OneLine, Field(max_length=64)] = ""
    identifier: Annotated[OneLine, Field(max_length=64)] = ""
    identifier_system: Uri = ""
    contact: Annotated[OneLine, Field(max_length=200)] = ""

    @model_validator(mode="after")
    def _identifier_has_a_system(self) -> SiteSettings:
        if bool(self.identifier) != bool(self.identifier_system):
            raise ValueError(
                "identifier and identifier_system go together: set both, or leave both empty"
            )
        return self


class ReadingSettings(Section):
    """[reading]: which results readers confirm."""

    confirm_negatives: ConfirmedNegatives = "none"

    @property
    def confirmed_share(self) -> float:
        """Return the share, 0 to 1, of negative eyes that readers confirm."""
        return confirmed_share(self.confirm_negatives)


class ReaderSettings(Section):
    """[[reader]]: a person who reads, and what the person may do."""

    id: Identifier
    role: Annotated[OneLine, Field(min_length=1, max_length=64)]
    may: Annotated[
        tuple[Annotated[ReaderPermission, Field(strict=False)], ...],
        Field(min_length=1, strict=False),
    ]
    name: Annotated[OneLine, Field(max_length=64)] = ""


class RecallSettings(Section):
    """[recall]: after how many months a person without referable retinopathy is invited again.

    None means that no interval is printed.
    """

    grade_0: _Months | None = None
    grade_1: _Months | None = None
