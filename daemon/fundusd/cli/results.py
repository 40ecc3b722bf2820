"""fundusd results: show the results of captures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.exams_of_rows import exams_of
from fundusd.cli.layout import Command
from fundusd.cli.left_out import left_out
from fundusd.cli.options import (
    LARGEST_NUMBER,
    TABLE_ROWS,
    Config,
    Csv,
    Json,
    OfCamera,
    Wide,
    load,
    require_known_camera,
    require_one_format,
    row_limit,
    since_time,
)
from fundusd.cli.output import as_json, local, print_csv, print_table
from fundusd.cli.release_warning import noting_releases, print_warning, release_warning
from fundusd.domain.capture_warnings import in_words
from fundusd.domain.clinical_terms import SAFETY_WORDS, Grade, Outcome, Referable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fundusd.cli.output import Row
    from fundusd.clinical.exam import Exam
    from fundusd.ledger import Ledger

_Since = Annotated[
    str,
    typer.Option(
        "--since", metavar="TIME", help="Received since: 90m, 12h, 7d, 12w, or a date or time."
    ),
]
_Grade = Annotated[
    int | None,
    typer.Option(
        "--grade",
        metavar="0-4",
        min=0,
        max=4,
        help="Show only this ICDR grade.",
        show_default=False,
    ),
]
_Referable = Annotated[
    Referable | None,
    typer.Option(
        "--referable",
        help="Show only this answer, as the rule of the release gave it.",
        show_default=False,
    ),
]
_Outcome = Annotated[
    Outcome | None, typer.Option("--outcome", help="Show only this outcome.", show_default=False)
]
_Superseded = Annotated[
    bool, typer.Option("--superseded", help="Include older revisions of overwritten files.")
]
_Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        max=LARGEST_NUMBER,
        metavar="N",
        help="Show only the N newest captures.",
        show_default=False,
    ),
]

_LEFT_OUT = "so warnings that a person has answered are marked, too"
_DROPPED_FIRST = ("score", "camera", "received", "outcome")  # if the terminal is too narrow


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(results)


def results(
    config: Config = None,
    since: _Since = "",
    camera: OfCamera = "",
    grade: _Grade = None,
    referable: _Referable = None,
    outcome: _Outcome = None,
    superseded: _Superseded = False,
    limit: _Limit = None,
    json: Json = False,
    as_csv: Csv = False,
    wide: Wide = False,
) -> None:
    """Show the results of captures, newest first.

    Prints one row per capture. With --json or --csv, the command prints all columns of the view
    v_result, and every row unless --limit is given.

    Examples:
      fundusd results --since 12h --referable yes
      fundusd results --camera cr2-room1 --csv > results.csv
    """
    from fundusd.app.open_ledger import opened_ledger

    require_one_format(json=json, as_csv=as_csv)
    received_since = since_time(since) if since else None
    settings = load(config)
    with opened_ledger(settings) as ledger:
        ledger.check()
        require_known_camera(settings, ledger, camera)
        rows = ledger.results(
            since=received_since,
            camera_id=camera or None,
            grade=grade,
            referable=referable,
            outcome=outcome,
            superseded=superseded,
            limit=row_limit(limit, in_full=json or as_csv),
        )
        ids: set[int] = set()
        rows = noting_releases(rows, ids)
        if json:
            print(as_json(list(rows)))
        elif as_csv:
            print_csv(rows, ledger.columns_of("v_result"))
        else:
            limited = limit is None
            _print_table(ledger, list(rows), limited=limited, superseded=superseded, wide=wide)
        print_warning(release_warning(ledger, ids), beside_data=json or as_csv)


def _marked(warned: Iterable[Row], exams: Iterable[Exam]) -> set[int]:
    """Return the captures with a warning that concerns the reader, and that nobody has answered."""
    from fundusd.reports import exam_details

    answered: set[int] = set()
    for exam in exams:
        for shot in exam_details.shots(exam):
            if not in_words(shot.open_warnings):
                answered.add(shot.capture_id)
    return {row["capture_id"] for row in warned} - answered


def _print_table(
    ledger: Ledger, rows: Sequence[Row], *, limited: bool, superseded: bool, wide: bool
) -> None:
    from fundusd.reports import wording

    warned = [row for row in rows if wording.warnings_of_row(row)]
    exams = exams_of(ledger, warned)
    marked = _marked(warned, exams or ())
    cells = [_cells(row, is_marked=row["capture_id"] in marked) for row in rows]
    print_table(cells, _DROPPED_FIRST, wide=wide)
    if marked:
        print("! There is a warning; fundusd show CAPTURE prints it.")
    if exams is None:
        print(left_out(ledger, _LEFT_OUT))
    for model in sorted({row["model"] for row in rows if row["grade"] is not None}):
        print(f"Model: {model}")
    if limited and len(rows) == TABLE_ROWS:
        print(
            f"The newest {TABLE_ROWS} are shown; use --limit to see more, "
            "--json or --csv to see all."
        )
    print(SAFETY_WORDS)
    if not (rows or superseded):
        print("Files that were replaced since are left out; --superseded shows them.")


def _cells(row: Row, *, is_marked: bool) -> dict[str, str]:
    path = row["path"]
    if row["revision"] > 1:
        path += f" (revision {row['revision']})"
    number = str(row["capture_id"])
    if is_marked:
        number += " !"
    return {
        "capture": number,
        "received": local(row["received_at"]),
        "camera": row["camera_id"],
        "path": path,
        "eye": row["eye"],
        "outcome": row["outcome"] or row["state"],
        "grade or reason": row["grade_label"] or row["reason"] or "",
        "score": _best_score(row),
        "referable": row["referable"] or "",
    }


def _best_score(row: Row) -> str:
    if row["grade"] is None:
        return ""
    key = Grade(row["grade"]).name.lower()
    return f"{row[f'score_{key}']:.2%}"
