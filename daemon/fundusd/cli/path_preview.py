"""fundusd check --names: show what is read from the paths in a folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from fundusd.cli.options import TABLE_ROWS, camera_named, load
from fundusd.cli.output import as_json, path_text, print_table
from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fundusd.clinical.attribution import CaptureMetadata
    from fundusd.clinical.camera_database import Lookup
    from fundusd.clinical.eye_languages import LanguageName

    PreviewRow = dict[str, Any]

_PATHS_PER_LOOKUP = 16  # the daemon looks up as many in a camera's database at once


class Reading(NamedTuple):
    """How the paths of a folder are read: the naming rules, the camera's database, its globs."""

    naming: Naming
    lookup: Lookup | None = None
    ignore: tuple[str, ...] = ()


def reading_of(config: Path | None, convention: str, languages: str, camera: str) -> Reading:
    """Return how paths are read according to the options.

    Raises BadParameter if the options contradict each other or name something unknown, or
    SettingsError if the settings are wrong.
    """
    from fundusd.clinical.camera_conventions import NAMES

    if camera and convention:
        raise typer.BadParameter("--camera and --convention cannot be used together")
    if camera and languages:
        raise typer.BadParameter("--camera and --languages cannot be used together")
    if camera:
        chosen = camera_named(load(config), camera)
        return Reading(chosen.naming, chosen.own_database, chosen.ignore)
    for name in NAMES:
        if name == (convention or "generic"):
            return Reading(Naming.of(name, languages=_languages(languages)))
    raise typer.BadParameter(f"there is no convention {convention}, only {', '.join(NAMES)}")


def _languages(codes: str) -> tuple[LanguageName, ...]:
    """Return the languages of a list such as "es,de".

    Raises BadParameter if a code is repeated or unknown.
    """
    from fundusd.clinical.eye_languages import LANGUAGES

    chosen = [code.strip() for code in codes.split(",")] if codes else []
    for code in chosen:
        if code not in LANGUAGES:
            raise typer.BadParameter(f"there is no language {code}, only {', '.join(LANGUAGES)}")
        if chosen.count(code) > 1:
            raise typer.BadParameter(
                f"the language {code} is given twice; the languages are {', '.join(LANGUAGES)}"
            )
    return tuple(language for language in LANGUAGES if language in chosen)


def preview(folder: Path, reading: Reading, *, json: bool, wide: bool) -> None:
    """Print what is read from each path below a folder, with the doubtful paths first.

    Raises BadParameter if the folder does not exist or cannot be listed.
    """
    from fundusd.app import inbox_trouble

    if trouble := inbox_trouble.look(folder):
        raise typer.BadParameter(trouble.problem)
    paths = sorted(_paths(folder, reading.ignore))
    rows = []
    for path, metadata in zip(paths, _read(paths, reading), strict=True):
        rows.append(_row(path, metadata))
    missing = _missing(rows)
    if json:
        print(as_json({"files": len(rows), "missing": missing, "names": rows}))
    else:
        _print(rows, missing, asked=reading.lookup is not None, wide=wide)


def _paths(folder: Path, ignore: tuple[str, ...]) -> Iterator[str]:
    """Yield the path of every file whose name could be that of a capture."""
    from fundusd.watcher.ignore_rules import named_like_captures, rules_of

    def stop(error: OSError) -> None:
        raise typer.BadParameter(f"a folder below {folder} cannot be listed ({error.strerror})")

    for path in named_like_captures(folder, rules_of(ignore), stop):
        yield path_text(path)


def _read(paths: Sequence[str], reading: Reading) -> Iterator[CaptureMetadata]:
    from fundusd.clinical.camera_database import read

    for first in range(0, len(paths), _PATHS_PER_LOOKUP):
        batch = paths[first : first + _PATHS_PER_LOOKUP]
        yield from read(reading.naming, reading.lookup, batch)


def _row(path: str, metadata: CaptureMetadata) -> PreviewRow:
    return {
        "path": path,
        "eye": metadata.eye.value,
        "source": metadata.eye_source.value,
        "field": metadata.field,
        "patient": metadata.patient,
        "date": metadata.date and metadata.date.isoformat(),
        "time": metadata.time and metadata.time.isoformat(),
        "warnings": list(metadata.warnings),
    }


def _missing(rows: Sequence[PreviewRow]) -> dict[str, int]:
    """Return the number of paths that lack each fact or have each warning, keyed by its name."""
    counts: Counter[str] = Counter(eye=0, field=0, patient=0, date=0, time=0)
    for row in rows:
        counts["eye"] += row["eye"] == Eye.UNKNOWN
        for fact in ("field", "patient", "date", "time"):
            counts[fact] += row[fact] is None
        counts.update(row["warnings"])
    return dict(counts)


def _print(rows: Sequence[PreviewRow], missing: dict[str, int], *, asked: bool, wide: bool) -> None:
    doubtful_first = sorted(rows, key=_doubt)
    shown = [_cells(row) for row in doubtful_first[:TABLE_ROWS]]
    print_table(shown, ("time", "field", "source"), wide=wide)
    if len(rows) > TABLE_ROWS:
        print(f"{TABLE_ROWS} of {len(rows)}, doubtful ones first; all with --json.")
    print(f"{len(rows)} files: {_summary(missing)}.")
    if asked:
        print("Only the camera's own database was opened.")
    else:
        print("No file was opened.")
    print("The header of a DICOM file may add to its name, or contradict it.")


def _doubt(row: PreviewRow) -> tuple[bool, bool]:
    """Return a sort key that puts paths with warnings first, then paths whose eye is unknown."""
    return not row["warnings"], row["eye"] != Eye.UNKNOWN


def _cells(row: PreviewRow) -> dict[str, str]:
    cells = {name: value or "" for name, value in row.items()}
    cells["warnings"] = ", ".join(row["warnings"])
    return cells


def _summary(missing: dict[str, int]) -> str:
    """Return a phrase that gives the number of paths for each missing fact and each warning."""
    parts = []
    for name, count in missing.items():
        if count and "_" in name:
            parts.append(f"{count} {name}")
        elif count:
            parts.append(f"{count} without {name}")
    return ", ".join(parts) or "nothing is missing"
