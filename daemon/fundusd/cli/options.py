"""Options that several commands share, and how they show things."""

from __future__ import annotations

import csv
import itertools
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from fundusd.domain.clinical_terms import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fundusd.app.settings import Settings

    Row = Mapping[str, Any]

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings file (default: $FUNDUSD_CONFIG, else /etc/fundusd/fundusd.toml).",
        show_default=False,
    ),
]
Revision = Annotated[
    str, typer.Option("--revision", metavar="HEX", help="Commit of a hub id, 40 digits.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def load(config: Path | None) -> Settings:
    """Read the settings that the options name; raises SettingsError."""
    from fundusd.app import settings

    return settings.load(settings.path_of(config))


def settings_for(config: Path | None, model: str, revision: str) -> Settings:
    """Read the settings, with another model if one is named: then no settings file is needed."""
    if not model:
        return load(config)
    from fundusd.app import settings

    chosen = load(config) if config else settings.Settings()
    return chosen.model_copy(update={"model": settings.of_model(model, revision)})


def require_place(settings: Settings, out: Path, kinds: Sequence[str]) -> None:
    """Refuse what is no picture's name, and an inbox: what is written there becomes a capture."""
    if out.suffix.lower() not in kinds:
        raise typer.BadParameter(f"{out} must end in {' or '.join(kinds)}")
    for camera in settings.camera:
        if out.resolve().is_relative_to(camera.inbox.resolve()):
            raise typer.BadParameter(
                f"{out} lies in the inbox of camera {camera.id}, where only the camera writes"
            )


def as_json(value: Any) -> str:
    """Render JSON for machines: times in ISO 8601, bytes of paths as text."""
    return orjson.dumps(
        value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    ).decode()


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


_SPAN = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
TABLE_ROWS = 50  # rows of the table, unless --limit asks for more


def since_time(text: str) -> datetime:
    """Read --since: a span before now (90m, 12h, 7d) or a date or time of the clinic's clock.

    >>> since_time("2026-11-23").isoformat()[:4]
    '2026'
    """
    try:
        if span := _SPAN.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not a time: use 90m, 12h, 7d, 2026-11-23 or 2026-11-23T08:00"
        ) from None


TABLE_ROWS = 50  # rows of the table, unless --limit asks for more
Camera = Annotated[str, typer.Option(metavar="ID", help="Of one camera.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="At most so many, worst first.", show_default=False)
]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")]


def grade_or_reason(row: Row) -> str:
    """Return the grade of an eye, the reason why it has none, and the fields that are missing."""
    from fundusd.reports import wording

    told = [row["grade_label"]] if row["grade"] is not None else []
    told += [wording.reason(Reason(row["reason"]))] if row["reason"] else []
    told += [f"missing: {row['missing_fields']}"] if row["missing_fields"] else []
    return ", ".join(told)


def print_tables(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    """Print tables under their titles."""
    from rich.console import Console

    from fundusd.reports.terminal_table import table_of

    console = Console(highlight=False)
    for title, rows in tables.items():
        if title:
            console.print(f"\n{title}")
        console.print(table_of(rows))
