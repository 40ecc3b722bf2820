"""Read the settings file, and report all mistakes in it at once."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fundusd.app.settings import ModelSettings, Settings
from fundusd.app.settings_rules import Section
from fundusd.domain.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_FILE = Path("/etc/fundusd/fundusd.toml")

# names used in development versions of 0.1, which some settings files still contain
_RENAMED_KEYS = {
    "smallest_side": "min_side_pixels",
    "least_luminance": "min_luminance",
    "most_luminance": "max_luminance",
    "most_saturated": "max_saturated",
    "least_field": "min_field",
    "most_glare": "max_glare",
    "least_sharpness": "min_sharpness",
    "least_visibility": "min_visibility",
    "most_haze": "max_haze",
}
_RENAMED_VALUES = {("when", "judged"): "resulted"}


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
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path} is not TOML: {error}.", hint="Compare it with config/fundusd.toml."
        ) from None
    except ValidationError as error:
        mistakes = [_mistake(details) for details in error.errors()]
        plural = "s" if len(mistakes) > 1 else ""
        listed = "\n".join(mistakes)
        raise SettingsError(
            f"{path} has {len(mistakes)} mistake{plural}:\n{listed}",
            hint="Every key is explained in config/fundusd.toml; check again with: fundusd check",
        ) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"There is no settings file {path}.",
            hint="Copy config/fundusd.toml there, or name another file with --config FILE "
            "or FUNDUSD_CONFIG.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}).", hint="It must be a UTF-8 text file."
        ) from None


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


def _mistake(details: Mapping[str, Any]) -> str:
    """Return a line that describes a mistake found by pydantic.

    The line names the key and the broken rule, and usually quotes the value.
    """
    location, value = details["loc"], details["input"]
    key = ".".join(str(part) for part in location) or "(file)"
    name = str(location[-1]) if location else ""
    if details["type"] == "extra_forbidden":
        return f"  {key}: {_advice_on(name)}"
    if details["type"] == "missing":
        return f"  {key}: is missing"
    if isinstance(value, str) and (name, value) in _RENAMED_VALUES:
        return f'  {key} = {value!r}: is called "{_RENAMED_VALUES[name, value]}" now'
    rule = details["msg"].removeprefix("Value error, ")
    if isinstance(value, str | int | float) and "password" not in rule:
        return f"  {key} = {value!r}: {rule}"
    return f"  {key}: {rule}"


def _advice_on(unknown_key: str) -> str:
    if new_name := _RENAMED_KEYS.get(unknown_key):
        return f"is called {new_name} now"
    known: set[str] = set()
    for section in Section.__subclasses__():
        known.update(section.model_fields)
    near = difflib.get_close_matches(unknown_key, sorted(known), n=1)
    if near:
        return f"there is no such key; did you mean {near[0]}?"
    return "there is no such key"
