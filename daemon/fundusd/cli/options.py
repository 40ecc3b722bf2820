"""Options that several commands share, and functions that interpret the options' values."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.domain.clinical_terms import Eye, Grade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.app.camera_settings import CameraSettings
    from fundusd.app.settings import Settings
    from fundusd.ledger import Ledger

LARGEST_NUMBER = 2**63 - 1  # that a database can hold

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        readable=False,  # so that one kind of error says this, however the file is named
        help="Settings file (default: $FUNDUSD_CONFIG, or /etc/fundusd/fundusd.toml).",
        show_default=False,
    ),
]
ExamNumber = Annotated[
    int,
    typer.Argument(
        metavar="EXAM",
        min=1,
        max=LARGEST_NUMBER,
        help="Number of an exam, as fundusd worklist shows it.",
    ),
]
OneEye = Annotated[
    Eye,
    typer.Argument(
        metavar="EYE",
        help="R for the right eye (OD), L for the left (OS), U if unknown.",
        case_sensitive=False,
    ),
]
Revision = Annotated[
    str,
    typer.Option("--revision", metavar="HEX", help="Commit of a model on the hub (40 hex digits)."),
]
ModelSource = Annotated[
    str,
    typer.Option(
        "--model", metavar="SOURCE", help="Hub id, folder or phantom; replaces [model] source."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Wide = Annotated[
    bool, typer.Option("--wide", help="Show all columns of a table, and one line per row.")
]
OfCamera = Annotated[str, typer.Option("--camera", metavar="ID", help="Show only this camera.")]
WorstFirst = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        max=LARGEST_NUMBER,
        metavar="N",
        help="Show only the N most urgent eyes.",
        show_default=False,
    ),
]

ROOT = 0  # the user id
TABLE_ROWS = 50  # rows of a table, unless --limit asks for more
DRAWING_SUFFIXES = (".png", ".svg", ".pdf")

_SPAN = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def load(config: Path | None) -> Settings:
    """Return the settings in the file that --config names, or in the default file.

    A command of root goes on as the service's user, and a command of that user has the folders of
    its unit. Raises SettingsError if the file cannot be read or contains mistakes, or RequestError
    if the user cannot be changed.
    """
    from fundusd.app import settings_file

    path = settings_file.path_of(config)
    settings = settings_file.load(path)
    if os.geteuid() == ROOT:
        from fundusd.app import service_user  # only root has to import it

        _print_notice(service_user.become(settings, path))
    else:
        _act_as_the_unit_does(path)
    return settings


def _act_as_the_unit_does(file: Path) -> None:
    if "CACHE_DIRECTORY" not in os.environ:  # as it is in commands that the unit runs
        from fundusd.app import service_unit

        service_unit.act_as_the_unit_does(file)


def _print_notice(change: str) -> None:
    if change and sys.stderr is not None:
        print(f"fundusd: {change}", file=sys.stderr)


def settings_for(config: Path | None, model: str, revision: str) -> Settings:
    """Return the settings, with their model replaced by the one that --model names.

    With --model, a settings file is optional. Raises SettingsError if the file or the revision is
    wrong.
    """
    if not model:
        return load(config)
    from fundusd.app import settings, settings_file

    default = settings_file.path_of(None)
    if config is None and os.geteuid() == ROOT:
        from fundusd.app import service_user

        _print_notice(service_user.become_owner_of_caches(default))
    elif config is None:
        _act_as_the_unit_does(default)
    chosen = settings.Settings() if config is None else load(config)
    return chosen.model_copy(update={"model": settings_file.of_model(model, revision)})


def camera_named(settings: Settings, camera_id: str) -> CameraSettings:
    """Return the settings of the camera with this id; raises BadParameter if there is none."""
    for camera in settings.camera:
        if camera.id == camera_id:
            return camera
    known = ", ".join(camera.id for camera in settings.camera) or "none"
    raise typer.BadParameter(f"there is no camera {camera_id} in the settings, only {known}")


def require_known_camera(settings: Settings, ledger: Ledger, camera_id: str) -> None:
    """Raise BadParameter if neither the settings nor the database know a camera.

    The database keeps the captures of a camera that is no longer in the settings. An empty id
    stands for all cameras.
    """
    from fundusd.ledger import ViewQuery

    known = {camera.id for camera in settings.camera}
    if not camera_id or camera_id in known:
        return
    known.update(row["camera_id"] for row in ledger.ask(ViewQuery("v_camera", ("camera_id",))))
    if camera_id not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise typer.BadParameter(f"there is no camera {camera_id}; the cameras are: {listed}")


def require_output_file(settings: Settings, file: Path, suffixes: Sequence[str]) -> None:
    """Raise BadParameter if a file has none of the suffixes, or lies in an inbox."""
    if file.suffix.lower() not in suffixes:
        raise typer.BadParameter(f"{file} must end in {' or '.join(suffixes)}")
    for camera in settings.camera:
        if file.resolve().is_relative_to(camera.inbox.resolve()):
            raise typer.BadParameter(
                f"{file} lies in the inbox of camera {camera.id}, where only the camera writes"
            )


def require_one_format(*, json: bool, as_csv: bool) -> None:
    """Raise BadParameter if --json and --csv are both given."""
    if json and as_csv:
        raise typer.BadParameter("--json and --csv cannot be used together")


def row_limit(limit: int | None, *, in_full: bool) -> int | None:
    """Return `limit`, or the default if `limit` is None.

    The default is None, which means all rows, if `in_full` is true, and TABLE_ROWS otherwise.
    """
    if limit is None and not in_full:
        return TABLE_ROWS
    return limit


def icdr_grade(number: int | None) -> Grade | None:
    """Return the ICDR grade with this number, or None for None."""
    if number is None:
        return None
    return Grade(number)


def since_time(text: str) -> datetime:
    """Return the time that a value of --since specifies.

    The value is a span before now, or a local date or time. Raises BadParameter if it is neither.

    >>> since_time("2026-11-23").isoformat()[:4]
    '2026'
    """
    try:
        if span := _SPAN.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not a time: use a span such as 90m, 12h, 7d or 12w, "
            "or a date or time such as 2026-11-23 or 2026-11-23T08:00"
        ) from None
