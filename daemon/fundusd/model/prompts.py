"""Read prompt sets, whose sentences describe the grades, and pin them by a digest."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fundusd.domain.clinical_terms import Grade
from fundusd.domain.errors import SettingsError
from fundusd.files import package_data

_SHAPE = (
    "A prompt set has `name`, `about` and five [[grade]] tables, "
    "each with `grade` (0 to 4) and `prompts`."
)


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The prompts of each grade, starting with no DR.

    `digest` depends only on the prompts, not on `name` and `about`.
    """

    name: str
    about: str
    prompts: tuple[tuple[str, ...], ...]

    @property
    def digest(self) -> str:
        """Return the sha256 of the prompts as compact UTF-8 JSON, one list per grade."""
        text = json.dumps(self.prompts, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def load_prompt_set(name_or_path: str) -> PromptSet:
    """Return the shipped prompt set of this name, or the prompt set in the file at this path.

    Raises SettingsError if there is none, or if it is not valid.
    """
    path = _path(name_or_path)
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise _unknown(name_or_path) from None
    except OSError as error:
        raise _wrong(name_or_path, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(name_or_path, f"is not valid TOML: {error}") from error
    try:
        return _parse(content)
    except ValueError as error:
        raise _wrong(name_or_path, str(error)) from error


def shipped() -> list[str]:
    """Return the names of the prompt sets that ship with fundusd."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def _folder() -> Path:
    return package_data.folder("config") / "prompts"


def _is_path(name_or_path: str) -> bool:
    return "/" in name_or_path or name_or_path.endswith(".toml")


def _path(name_or_path: str) -> Path:
    if _is_path(name_or_path):
        return Path(name_or_path).expanduser()
    return _folder() / f"{name_or_path}.toml"


def _parse(content: dict[str, Any]) -> PromptSet:
    tables = content.get("grade")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError("has no [[grade]] tables")
    grades = [table.get("grade") for table in tables]
    for grade in Grade:
        if grades.count(grade.value) != 1:
            raise ValueError(f"has {grades.count(grade.value)} [[grade]] tables for grade {grade}")
    if len(grades) != len(Grade):
        raise ValueError(f"has {len(grades)} [[grade]] tables, not {len(Grade)}")
    name, about = (
        _sentence(content.get("name"), "`name`"),
        _sentence(content.get("about"), "`about`"),
    )
    prompts = []
    for grade in Grade:
        prompts.append(_prompts(tables[grades.index(grade.value)]))
    return PromptSet(name, about, tuple(prompts))


def _prompts(table: dict[str, Any]) -> tuple[str, ...]:
    where = f"`prompts` of grade {table['grade']}"
    prompts = table.get("prompts")
    if not isinstance(prompts, list) or not prompts:
        raise ValueError(f"{where} must be a list of at least one sentence")
    sentences = []
    for number, prompt in enumerate(prompts, 1):
        sentences.append(_sentence(prompt, f"prompt {number} of grade {table['grade']}"))
    return tuple(sentences)


def _sentence(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where} must be text that is not empty")
    return value


def _unknown(name_or_path: str) -> SettingsError:
    if _is_path(name_or_path):
        return SettingsError(
            f"model.prompts names a file that does not exist: {name_or_path}.",
            hint=f"Give the path of a TOML file, or one of: {', '.join(shipped())}.",
        )
    return SettingsError(
        f"model.prompts names an unknown prompt set: {name_or_path}.",
        hint=f"Use one of: {', '.join(shipped())}; or the path of your own TOML file.",
    )


def _wrong(name_or_path: str, what: str) -> SettingsError:
    return SettingsError(f"Prompt set {name_or_path} {what}.", hint=_SHAPE)
