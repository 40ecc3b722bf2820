"""fundusd check --names: what the paths of a folder would tell, and the camera's database; no file is opened."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fundusd.cli.options import as_json, load
from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.clinical.camera_conventions import ConventionName
    from fundusd.clinical.camera_database import Lookup
    from fundusd.clinical.path_rules import Named

_SHOWN = 50  # rows of the table
_SLICE = 16  # paths that a camera's database is asked for at once, as the daemon does


def naming_of(config: Path | None, convention: str, camera: str) -> tuple[Naming, Lookup | None]:
    """Return the naming that the options choose, and the camera's own database; raises BadParameter, SettingsError."""
    from fundusd.clinical.camera_conventions import NAMES

    if camera and convention:
        raise typer.BadParameter("--camera and --convention exclude each other")
    if camera:
        chosen = {one.id: (one.naming, one.own_database) for one in load(config).camera}
        if camera not in chosen:
            raise typer.BadParameter(
                f"there is no camera {camera} in the settings, only {', '.join(chosen) or 'none'}"
            )
        return chosen[camera]
    names: dict[str, ConventionName] = {name: name for name in NAMES}
    if convention and convention not in names:
        raise typer.BadParameter(f"there is no convention {convention}, only {', '.join(names)}")
    return Naming.of(names.get(convention, "generic")), None


def show(folder: Path, naming: Naming, lookup: Lookup | None, *, json: bool) -> None:
    """Print what each path below a folder tells, in doubt first, and how many tell what not; raises BadParameter."""
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}")
    from fundusd.clinical.camera_database import read

    paths = sorted(_paths(folder))
    slices = [paths[first : first + _SLICE] for first in range(0, len(paths), _SLICE)]
    named = [one for some in slices for one in read(naming, lookup, some)]
    rows = [_row(path, one) for path, one in zip(paths, named, strict=True)]
    missing = _missing(rows)
    if json:
        print(as_json({"files": len(rows), "missing": missing, "names": rows}))
    else:
        _print(rows, missing, asked=lookup is not None)


def _paths(folder: Path) -> Iterator[str]:
    """Yield the paths of all files that may be captures, by name."""
    from fundusd.watcher.ignore_rules import named_like_captures

    def stop(error: OSError) -> None:
        raise typer.BadParameter(f"a folder below {folder} cannot be listed ({error.strerror})")

    for path in named_like_captures(folder, stop):
        yield path.decode("utf-8", "backslashreplace")


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


def _print(rows: list[dict[str, Any]], missing: dict[str, int], *, asked: bool) -> None:
    from rich.console import Console

    from fundusd.reports.terminal_table import table_of

    shown = sorted(rows, key=lambda row: (not row["warnings"], row["eye"] != Eye.UNKNOWN))[:_SHOWN]
    console = Console()
    console.print(
        table_of(
            [
                {
                    key: ", ".join(value) if isinstance(value, list) else value or ""
                    for key, value in row.items()
                }
                for row in shown
            ]
        )
    )
    if len(rows) > _SHOWN:
        console.print(
            f"{_SHOWN} of {len(rows)}, doubtful ones first; all with --json.", highlight=False
        )
    told = ", ".join(f"{count} {_words(what)}" for what, count in missing.items() if count)
    console.print(f"{len(rows)} files: {told or 'all is told'}.", highlight=False)
    opened = "Only the camera's own database was opened." if asked else "No file was opened."
    console.print(
        f"{opened} A DICOM file tells more when it is, or contradicts its name.", highlight=False
    )


def _words(what: str) -> str:
    return what if "_" in what else f"without {what}"
