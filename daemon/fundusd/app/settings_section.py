"""The base of the sections of the settings file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the settings file.

    It refuses unknown keys and numbers that are not finite, and converts values only for keys that
    allow this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
