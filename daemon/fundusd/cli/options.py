"""Options that several commands share, and how they show things."""

from __future__ import annotations

import csv
import itertools
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fundusd.settings import Settings

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings file (default: $FUNDUSD_CONFIG, else /etc/fundusd/fundusd.toml).",
        show_default=False,
    ),
]
Revision = Annotated[str, typer.Option("--revision", metavar="HEX", help="Commit of a hub id, 40 digits.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def load(config: Path | None) -> Settings:
    """Read the settings that the options name; raises SettingsError."""
    from fundusd import settings

    return settings.load(settings.path_of(config))


def settings_for(config: Path | None, model: str, revision: str) -> Settings:
    """Read the settings, with another model if one is named: then no settings file is needed."""
    if not model:
        return load(config)
    from fundusd import settings

    chosen = load(config) if config else settings.Settings()
    return chosen.model_copy(update={"model": settings.of_model(model, revision)})


def require_place(settings: Settings, out: Path, kinds: Sequence[str]) -> None:
    """Refuse what is no picture's name, and an inbox: what is written there becomes a capture."""
    if out.suffix.lower() not in kinds:
        raise typer.BadParameter(f"{out} must end in {' or '.join(kinds)}")
    for camera in settings.camera:
        if out.resolve().is_relative_to(camera.inbox.resolve()):
            raise typer.BadParameter(f"{out} lies in the inbox of camera {camera.id}, where only the camera writes")


def as_json(value: Any) -> str:
    """Render JSON for machines: times in ISO 8601, bytes of paths as text."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def print_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as CSV, the columns of the first one at the top."""
    rows = iter(rows)
    first = next(rows, None)
    if first is not None:
        writer = csv.DictWriter(sys.stdout, list(first))
        writer.writeheader()
        writer.writerows(itertools.chain([first], rows))


def local(at: datetime | None) -> str:
    """Show a time as the clinic's clock does."""
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(at: datetime | None) -> str:
    """Show how long ago something was."""
    if at is None:
        return "never"
    return f"{max(0, round((datetime.now(UTC) - at).total_seconds()))} s ago"
