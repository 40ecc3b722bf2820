"""fundusd classify: grade photographs without a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import (
    Config,
    Csv,
    Json,
    ModelSource,
    Revision,
    require_one_format,
    settings_for,
)
from fundusd.cli.output import as_json, path_text, print_csv
from fundusd.clinical.grading import unsafe_rules
from fundusd.domain.clinical_terms import SAFETY_WORDS, Grade, Reason, Referable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.app.settings import Settings
    from fundusd.clinical.grading import Grading
    from fundusd.domain.decoding import Decoded
    from fundusd.domain.inference import Release

_Files = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="JPEG, PNG, TIFF or DICOM photographs.")
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(classify)


def classify(
    files: _Files,
    config: Config = None,
    model: ModelSource = "",
    revision: Revision = "",
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Classify photographs and print their scores; store nothing.

    The exit status is 1 if a photograph got no grade. With --model, no settings file is needed.

    Examples:
      fundusd classify retina.jpg
      fundusd classify --model phantom --json *.dcm
    """
    require_one_format(json=json, as_csv=as_csv)
    for file in files:
        if not file.is_file():
            raise typer.BadParameter(f"there is no file {file}")
    rows = _classified(settings_for(config, model, revision), files)
    if json:
        print(as_json(rows))
    elif as_csv:
        print_csv(rows, list(rows[0]))  # at least one file is named
    else:
        _print(rows, files)
    if not all(row["outcome"] == "graded" for row in rows):
        raise typer.Exit(1)


def _classified(settings: Settings, files: Sequence[Path]) -> list[dict[str, Any]]:
    from fundusd.app import classification

    rows = []
    with classification.classification(settings) as classifier:
        for file in files:
            decoded, grading = classifier(_read(file))
            rows.append(_row(file, classifier.release, decoded, grading))
    return rows


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read ({error.strerror})") from None


def _row(file: Path, release: Release, decoded: Decoded, grading: Grading | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "file": path_text(os.fsencode(file)),
        "outcome": "graded",
        "reason": None,
        "action": None,
        "eye": None,
        "grade": None,
        "grade_label": None,
        "referable": Referable.INDETERMINATE.value,
    }
    for grade in Grade:
        row[_score_key(grade)] = grading.scores[grade] if grading else None
    if decoded.reason is not None:
        row["outcome"] = decoded.reason.outcome.value
        row["reason"] = decoded.reason.value
        row["action"] = decoded.reason.action.value
    if decoded.content is not None:
        row["eye"] = decoded.content.eye.value
    if grading is not None:
        row["grade"] = int(grading.grade)
        row["grade_label"] = grading.grade.label
        row["referable"] = grading.referable.value
    notice = SAFETY_WORDS
    if warning := unsafe_rules([release.referable_rule]):
        notice = f"{SAFETY_WORDS} {warning}"
    return row | {"model": release.model, "notice": notice}


def _score_key(grade: Grade) -> str:
    return f"score_{grade.name.lower()}"


def _print(rows: Sequence[dict[str, Any]], files: Sequence[Path]) -> None:
    """Print rows in the format of the MedSigLIP example, which other scripts parse."""
    from fundusd.reports.terminal_table import printable

    for row, file in zip(rows, files, strict=True):
        if len(rows) > 1:
            print(f"{printable(row['file'])}:")
        if row["grade"] is None:
            print(f"No grade: {row['outcome']}, {row['reason']} (next: {row['action']})")
            if row["reason"] == Reason.UNKNOWN_FORMAT and _is_raw(file):
                print("This is a camera's raw file. The JPEG of the same name is the photograph.")
            continue
        for grade in Grade:
            print(f"{row[_score_key(grade)]:.2%} of '{grade.label}'")
        best = row[_score_key(Grade(row["grade"]))]
        print(f"Predicted class: {row['grade_label']} ({best:.2%} confidence)")
    print(f"Model: {rows[0]['model']}. {rows[0]['notice']}")


def _is_raw(path: Path) -> bool:
    from fundusd.files.media_type import is_raw

    data = _read(path)
    return is_raw(lambda size, offset: data[offset : offset + size])
