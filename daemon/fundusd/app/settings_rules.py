"""Rules for sections and single values of the settings.

A value that breaks a rule causes a ValueError that states the rule.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from fundusd.clinical.grading import Rule
from fundusd.domain.errors import SettingsError
from fundusd.watcher import ignore_rules

_CONFIRMED = {"none": 0.0, "all": 1.0}


def absolute(path: Path) -> Path:
    """Return an absolute path unchanged.

    Raises ValueError if the path is not absolute.
    """
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    _require_encodable(str(path))
    return path


def _require_encodable(path: str) -> None:
    """Raise ValueError if the locale cannot encode a path, so that no file can have it."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ValueError(
            "contains characters that the locale does not have: set LC_ALL=C.UTF-8"
        ) from None


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
    _require_encodable(url)
    return url


def _web_url(url: str) -> str:
    if url and not re.match(r"https?://[^/\s@?#]+(/[^\s?#]*)?$", url):
        raise ValueError(
            "must begin with https:// or http://, and contain no password and no question mark"
        )
    return url.rstrip("/")


def is_open_http(url: str) -> bool:
    """Return whether a web address sends plain HTTP to another host.

    >>> is_open_http("http://pacs.example.org"), is_open_http("http://127.0.0.1:8042/dicom-web")
    (True, False)
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return True


def _uri(text: str) -> str:
    if text and not re.fullmatch(
        r"https?://[^/\s@]+(/\S*)?|urn:[A-Za-z0-9][A-Za-z0-9-]+:\S+", text
    ):
        raise ValueError(
            "must be a URI without a password, such as https://example.org/id or urn:oid:1.2.3"
        )
    return text


def _required_uri(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return _uri(text)


def _one_line(text: str) -> str:
    if not text.isprintable() or "\\" in text:
        raise ValueError("must be one line of text without a backslash")
    return text


def _confirmed(text: str) -> str:
    confirmed_share(text)
    return text


def confirmed_share(text: str) -> float:
    """Return the share, 0 to 1, of negative eyes that readers confirm.

    Raises ValueError if `text` is not "none", "all" or a sample.

    >>> confirmed_share("sample:10%")
    0.1
    """
    if text in _CONFIRMED:
        return _CONFIRMED[text]
    sample = re.fullmatch(r"sample:(\d{1,2}(?:\.\d{1,2})?)%", text)
    if sample is None or float(sample[1]) == 0:
        raise ValueError('must be "none", "all" or a sample such as "sample:10%"')
    return float(sample[1]) / 100


def _pattern(text: str) -> str:
    if text:
        from fundusd.clinical.path_patterns import compiled  # few settings files have a pattern

        compiled(text)
    return text


def _query(text: str) -> str:
    if text:
        from fundusd.clinical.camera_database import require_query  # or a query

        require_query(text)
    return text


def _referral_rule(name: str) -> str:
    try:
        return Rule.parse(name).name
    except SettingsError:
        raise ValueError(
            'is not a rule that fundusd knows; use "icdr>=2/argmax", or an operating point such as '
            '"icdr>=2/sum>=0.35/or>=3"'
        ) from None


def _glob(text: str) -> str:
    ignore_rules.components_of(text)
    return text


def _globs(globs: tuple[str, ...]) -> tuple[str, ...]:
    ignore_rules.IgnoreRules(globs)
    return globs


AbsolutePath = Annotated[Path, AfterValidator(absolute)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
Uri = Annotated[str, Field(max_length=256), AfterValidator(_uri)]
RequiredUri = Annotated[str, Field(max_length=256), AfterValidator(_required_uri)]
OneLine = Annotated[str, AfterValidator(_one_line)]
ConfirmedNegatives = Annotated[str, AfterValidator(_confirmed)]
PathPattern = Annotated[str, Field(max_length=500), AfterValidator(_pattern)]
IgnoreGlob = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_glob)]
IgnoreGlobs = Annotated[
    tuple[IgnoreGlob, ...], Field(max_length=100, strict=False), AfterValidator(_globs)
]
ReferralRule = Annotated[str, AfterValidator(_referral_rule)]
LookupQuery = Annotated[str, Field(max_length=4000), AfterValidator(_query)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
