"""Read the settings file, and report all mistakes in it at once."""

from __future__ import annotations

import codecs
import os
import shlex
import tomllib
from pathlib import Path

from pydantic import ValidationError

from fundusd.app import settings_mistakes, settings_syntax
from fundusd.app.settings import Settings
from fundusd.app.settings_service import ModelSettings
from fundusd.domain.errors import SettingsError
from fundusd.files import package_data

DEFAULT_FILE = Path("/etc/fundusd/fundusd.toml")


def path_of(option: Path | None) -> Path:
    """Return the path of the settings file.

    This is `option`, otherwise $FUNDUSD_CONFIG, otherwise /etc/fundusd/fundusd.toml.
    """
    return option or Path(os.environ.get("FUNDUSD_CONFIG") or DEFAULT_FILE)


def load(path: Path) -> Settings:
    """Return the settings read from a file.

    Raises SettingsError if the file cannot be read or contains mistakes. The error lists every
    mistake.
    """
    text = _read(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path} is not TOML: {settings_syntax.explain(error, text)}.",
            hint=f"Compare it with {package_data.folder('config') / 'fundusd.toml'}.",
        ) from None
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        mistakes = settings_mistakes.explain(error, document)
        plural = "s" if len(mistakes) > 1 else ""
        listed = "\n".join(mistakes)
        raise SettingsError(
            f"{path} has {len(mistakes)} mistake{plural}:\n{listed}",
            hint=f"Every key is explained in {package_data.folder('config') / 'fundusd.toml'};"
            f" check again with: fundusd check --config {shlex.quote(str(path))}",
        ) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # with or without a byte order mark
    except FileNotFoundError:
        raise SettingsError(
            f"There is no settings file {path}.",
            hint=f"Copy {package_data.folder('config') / 'fundusd.toml'} there, or name another"
            " file with --config FILE or FUNDUSD_CONFIG.",
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path} is not UTF-8 text: {_undecodable(error)}.",
            hint="Save it again with the encoding UTF-8, or convert it with iconv.",
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}).",
            hint="It must be a text file that this user may read.",
        ) from None


def _undecodable(error: UnicodeDecodeError) -> str:
    """Return a phrase that says where a file stops being UTF-8, or what it is instead."""
    if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is UTF-16, which some Windows programs call Unicode"
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"line {line} contains the byte 0x{error.object[error.start]:02x}"


def of_model(source: str, revision: str) -> ModelSettings:
    """Return the [model] section for a source and revision given on the command line.

    Raises SettingsError if the revision is not a commit.
    """
    try:
        return ModelSettings(source=source, revision=revision)
    except ValidationError:
        raise SettingsError(
            "--revision is not the commit of a model.",
            hint="Give the 40 hexadecimal digits of a commit, as the hub shows them.",
        ) from None
