"""fundusd classify: photographs to scores, without a database."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.options import Config, Json, Revision, as_json, settings_for
from fundusd.domain.clinical_terms import SAFETY_WORDS, Grade, Referable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.app.settings import Settings
    from fundusd.clinical.grading import Grading
    from fundusd.domain.decoding import Decoded


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(classify)


def classify(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="JPEG, PNG, TIFF or DICOM photographs.")
    ],
    config: Config = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="SOURCE",
            help="Hub id, folder or phantom, instead of the settings' model.",
        ),
    ] = "",
    revision: Revision = "",
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")] = False,
) -> None:
    """Classify photographs and print the five scores of each; writes nothing anywhere.

    Exit status 1 when any file got no grade. With --model no settings file is needed.

    Examples: fundusd classify retina.jpg; fundusd classify --model phantom --json *.dcm
    """
    if json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    for file in files:
        if not file.is_file():
            raise typer.BadParameter(f"there is no file {file}")
    rows = _classified(settings_for(config, model, revision), files)
    if json:
        print(as_json(rows))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print(rows)
    raise typer.Exit(0 if all(row["outcome"] == "graded" for row in rows) else 1)


def _classified(settings: Settings, files: Sequence[Path]) -> list[dict[str, Any]]:
    from fundusd.app import classification

    with classification.classification(settings) as one_by_one:
        return [_row(file, one_by_one.release.model, *one_by_one(_read(file))) for file in files]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read ({error.strerror})") from None


def _row(file: Path, model: str, decoded: Decoded, grading: Grading | None) -> dict[str, Any]:
    reason = decoded.reason
    row: dict[str, Any] = {
        "file": str(file),
        "outcome": "graded" if reason is None else reason.outcome.value,
        "reason": reason.value if reason else None,
        "action": reason.action.value if reason else None,
        "eye": decoded.content.eye.value if decoded.content else None,
        "grade": int(grading.grade) if grading else None,
        "grade_label": grading.grade.label if grading else None,
        "referable": (grading.referable if grading else Referable.INDETERMINATE).value,
    }
    for grade in Grade:
        row[f"score_{grade.name.lower()}"] = grading.scores[grade] if grading else None
    return row | {"model": model, "notice": SAFETY_WORDS}


def _print(rows: Sequence[dict[str, Any]]) -> None:
    """Print in the words of the reference example, which scripts of its users read."""
    for row in rows:
        if len(rows) > 1:
            print(f"{row['file']}:")
        if row["grade"] is None:
            print(f"No grade: {row['outcome']}, {row['reason']} (next: {row['action']})")
            continue
        for grade in Grade:
            print(f"{row[f'score_{grade.name.lower()}']:.2%} of '{grade.label}'")
        best = row[f"score_{Grade(row['grade']).name.lower()}"]
        print(f"Predicted class: {row['grade_label']} ({best:.2%} confidence)")
    print(f"Model: {rows[0]['model']}. {SAFETY_WORDS}")
