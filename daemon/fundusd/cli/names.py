"""fundusd check --names: what the paths of a folder would tell; nothing is opened."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fundusd.cli.options import as_json, load
from fundusd.domain import Eye
from fundusd.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.conventions import ConventionName
    from fundusd.naming import Named

_SHOWN = 50  # rows of the table


def naming_of(config: Path | None, convention: str, camera: str) -> Naming:
    """Return the naming that the options choose; raises BadParameter, SettingsError."""
    from fundusd.conventions import NAMES

    if camera and convention:
        raise typer.BadParameter("--camera and --convention exclude each other")
    if camera:
        chosen = {one.id: one.naming for one in load(config).camera}
        if camera not in chosen:
            raise typer.BadParameter(f"there is no camera {camera} in the settings, only {', '.join(chosen) or 'none'}")
        return chosen[camera]
    names: dict[str, ConventionName] = {name: name for name in NAMES}
    if convention and convention not in names:
        raise typer.BadParameter(f"there is no convention {convention}, only {', '.join(names)}")
    return Naming.of(names.get(convention, "generic"))


def show(folder: Path, naming: Naming, *, json: bool) -> None:
    """Print what each path below a folder tells, in doubt first, and how many tell what not; raises BadParameter."""
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}")
    rows = [_row(path, naming.read(path)) for path in sorted(_paths(folder))]
    missing = _missing(rows)
    if json:
        print(as_json({"files": len(rows), "missing": missing, "names": rows}))
    else:
        _print(rows, missing)


def _paths(folder: Path) -> Iterator[str]:
    """Yield the paths of all files that may be captures, by name; links are not followed."""
    from fundusd.watcher.names import claims_capture, ignored_by_name

    root = os.fsencode(folder)

    def stop(error: OSError) -> None:
        raise typer.BadParameter(f"a folder below {folder} cannot be listed ({error.strerror})")

    for directory, folders, files in os.walk(root, onerror=stop):
        folders[:] = [one for one in folders if ignored_by_name(one) is None]
        for name in files:
            path = os.path.join(directory, name)  # noqa: PTH118  bytes
            is_capture = ignored_by_name(name) is None and (claims_capture(name) or b"." not in name)
            if is_capture and not os.path.islink(path):  # noqa: PTH114  bytes
                yield os.path.relpath(path, root).decode("utf-8", "backslashreplace")


def _row(path: str, named: Named) -> dict[str, Any]:
    return {
        "path": path,
        "eye": named.eye.value,
        "source": named.eye_source.value,
        "field": named.field,
        "patient": named.patient,
        "date": named.date and named.date.isoformat(),
        "time": named.time and named.time.isoformat(),
        "warnings": list(named.warnings),
    }


def _missing(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Count what paths do not tell, and by warning why."""
    counts: Counter[str] = Counter({"eye": sum(row["eye"] == Eye.UNKNOWN for row in rows)})
    for what in ("field", "patient", "date", "time"):
        counts[what] = sum(row[what] is None for row in rows)
    counts.update(warning for row in rows for warning in row["warnings"])
    return dict(counts)


def _print(rows: list[dict[str, Any]], missing: dict[str, int]) -> None:
    from rich.console import Console

    from fundusd.printing import table_of

    shown = sorted(rows, key=lambda row: (not row["warnings"], row["eye"] != Eye.UNKNOWN))[:_SHOWN]
    console = Console()
    console.print(
        table_of(
            [
                {key: ", ".join(value) if isinstance(value, list) else value or "" for key, value in row.items()}
                for row in shown
            ]
        )
    )
    if len(rows) > _SHOWN:
        console.print(f"{_SHOWN} of {len(rows)}, doubtful ones first; all with --json.", highlight=False)
    told = ", ".join(f"{count} {_words(what)}" for what, count in missing.items() if count)
    console.print(f"{len(rows)} files: {told or 'all is told'}.", highlight=False)
    console.print("No file was opened. A DICOM file tells more when it is, or contradicts its name.", highlight=False)


def _words(what: str) -> str:
    return what if "_" in what else f"without {what}"
