"""Rules for sections and single values of the settings.

A value that breaks a rule causes a ValueError that states the rule.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fundusd.clinical.camera_database import require_query
from fundusd.clinical.path_patterns import compiled
from fundusd.watcher import ignore_rules


class Section(BaseModel):
    """A section of the settings file.

    It refuses unknown keys and numbers that are not finite, and converts values only for keys that
    allow this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def absolute(path: Path) -> Path:
    """Return an absolute path unchanged.

    Raises ValueError if the path is not absolute.
    """
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _store_url(url: str) -> str:
    if re.search(r"://[^/@]*:[^/@]+@", url) or "password=" in url:
        raise ValueError(
            "must not contain a password: put it into the file that [store] password_file names"
        )
    if not url.startswith(("sqlite:////", "postgresql+psycopg://")):
        raise ValueError(
            "must begin with sqlite://// (four slashes, then an absolute path) "
            "or postgresql+psycopg://"
        )
    return url


def _web_url(url: str) -> str:
    if url and not re.match(r"https?://[^/\s@?#]+(/[^\s?#]*)?$", url):
        raise ValueError(
            "must begin with https:// or http://, and contain no password and no question mark"
        )
    return url.rstrip("/")


def _pattern(text: str) -> str:
    if text:
        compiled(text)
    return text


def _query(text: str) -> str:
    if text:
        require_query(text)
    return text


def _glob(text: str) -> str:
    ignore_rules.components_of(text)
    return text


def _globs(globs: tuple[str, ...]) -> tuple[str, ...]:
    ignore_rules.IgnoreRules(globs)
    return globs


AbsolutePath = Annotated[Path, AfterValidator(absolute)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
PathPattern = Annotated[str, Field(max_length=500), AfterValidator(_pattern)]
IgnoreGlob = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_glob)]
IgnoreGlobs = Annotated[
    tuple[IgnoreGlob, ...], Field(max_length=100, strict=False), AfterValidator(_globs)
]
LookupQuery = Annotated[str, Field(max_length=4000), AfterValidator(_query)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
