"""fundusd worklist: show the eyes that a human has to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.exams_of_rows import exams_of
from fundusd.cli.layout import Command
from fundusd.cli.left_out import left_out
from fundusd.cli.options import (
    Config,
    Csv,
    Json,
    OfCamera,
    Wide,
    WorstFirst,
    load,
    require_known_camera,
    require_one_format,
    row_limit,
)
from fundusd.cli.output import as_json, print_csv, print_table
from fundusd.cli.release_warning import print_warning, release_ids, release_warning
from fundusd.cli.worklist_cells import cells_of, missing_cells
from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.domain.readings import WorklistReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fundusd.ledger import ViewQuery

WaitsFor = Annotated[
    WorklistReason | None,
    typer.Option(
        "--for",
        metavar="WHAT",
        help=f"Show only eyes that wait for this: {', '.join(WorklistReason)}.",
        show_default=False,
    ),
]

_Missing = Annotated[
    bool,
    typer.Option("--missing", help="Show only patients of whom photographs are missing."),
]

_LEFT_OUT = (
    'so "?" stands where it may first have to be found out which eye, whose or when, and warnings'
    " that a person has answered are shown, too"
)
_MORE = (
    "The {} most urgent are shown; use --limit to see more, --json or --csv without it to see all."
)
# at the same urgency, retakes first, because the patient may still be there; then the oldest exam
_WORST_FIRST = ("-urgency", "-action", "day", "exam_id", "eye")
_OLDEST_FIRST = ("day", "exam_id")
_DROPPED_FIRST = ("camera", "capture", "day")  # if the terminal is too narrow


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(worklist)


def worklist(
    config: Config = None,
    camera: OfCamera = "",
    waits_for: WaitsFor = None,
    limit: WorstFirst = None,
    json: Json = False,
    as_csv: Csv = False,
    missing: _Missing = False,
    wide: Wide = False,
) -> None:
    """Show the eyes that a human has to read, most urgent first.

    Below, or alone with --missing, it shows the patients of whom an eye or a field was not
    photographed.

    Each eye waits for one thing: arbitration (readers differ), read_again (its photographs or the
    model's result have changed since it was read), referable or undecided (nobody has read it, or
    reading alone cannot decide), or confirmation (a negative result that the site wants confirmed).
    The column "next" says what is needed. With --json or --csv, the command prints every row of
    one of the two lists unless --limit is given.

    Examples:
      fundusd worklist
      fundusd worklist --for arbitration
      fundusd worklist --for confirmation --limit 10
      fundusd worklist --camera cr2-room1 --csv > worklist.csv
      fundusd worklist --missing
    """
    if missing:
        if waits_for is not None:
            raise typer.BadParameter("--missing and --for cannot be used together")
        _print_missing(config, camera, limit, json=json, as_csv=as_csv, wide=wide)
        return
    print_worklist(
        config, filters_of(camera, waits_for), limit, json=json, as_csv=as_csv, wide=wide
    )


def _print_missing(
    config: Path | None, camera: str, limit: int | None, *, json: bool, as_csv: bool, wide: bool
) -> None:
    """Print the exams of which photographs are missing as a table, JSON or CSV."""
    from fundusd.app.open_ledger import opened_ledger

    require_one_format(json=json, as_csv=as_csv)
    settings, query = load(config), _incomplete(camera)
    with opened_ledger(settings) as ledger:
        ledger.check()
        require_known_camera(settings, ledger, camera)
        every = ledger.ask(query)
        columns = ledger.columns_of(query.view)
    rows = every[:limit]
    if json:
        print(as_json(rows))
    elif as_csv:
        print_csv(rows, columns)
    elif rows:
        print_table([missing_cells(row) for row in rows], wide=wide)
        print(SAFETY_WORDS)
    else:
        print("No photograph is missing.")
    if len(rows) < len(every):
        text = f"The oldest {len(rows)} of {len(every)} exams are shown; --limit N shows N."
        print_warning(text, beside_data=json or as_csv)


def _print_incomplete(
    incomplete: Sequence[Mapping[str, Any]], limit: int | None, *, wide: bool
) -> None:
    """Print the first exams of which photographs are missing, below the worklist."""
    print("Photographs are missing:")
    shown = incomplete[:limit]
    print_table([missing_cells(row) for row in shown], wide=wide)
    if len(shown) < len(incomplete):
        total = len(incomplete)
        text = f"The oldest {len(shown)} of {total} exams are shown; --missing shows all."
        print_warning(text, beside_data=False)


def _incomplete(camera: str) -> ViewQuery:
    from fundusd.ledger import ViewQuery

    filters = {"camera_id": camera} if camera else {}
    return ViewQuery("v_incomplete_exam", _OLDEST_FIRST, filters)


def filters_of(camera: str, waits_for: WorklistReason | None) -> dict[str, str]:
    """Return the columns of v_worklist that --camera and --for ask for, with their values."""
    filters = {}
    if camera:
        filters["camera_id"] = camera
    if waits_for is not None:
        filters["waits_for"] = waits_for.value
    return filters


def print_worklist(
    config: Path | None,
    filters: Mapping[str, str],
    limit: int | None,
    *,
    json: bool,
    as_csv: bool,
    wide: bool,
) -> None:
    """Print the worklist as a table, JSON or CSV."""
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger import ViewQuery

    require_one_format(json=json, as_csv=as_csv)
    is_data = json or as_csv
    rows_wanted = row_limit(limit, in_full=is_data)
    one_more = None if rows_wanted is None else rows_wanted + 1
    query = ViewQuery("v_worklist", _WORST_FIRST, filters, limit=one_more)
    settings = load(config)
    with opened_ledger(settings) as ledger:
        ledger.check()
        require_known_camera(settings, ledger, filters.get("camera_id", ""))
        listed = ledger.ask(query)
        rows = listed[:rows_wanted]
        columns = ledger.columns_of(query.view)
        exams = [] if is_data else exams_of(ledger, rows)
        is_whole = "waits_for" not in filters
        incomplete = ledger.ask(_incomplete(filters.get("camera_id", ""))) if is_whole else []
        warning = release_warning(ledger, release_ids(rows))
    print_warning(warning, beside_data=is_data)
    if json:
        print(as_json(rows))
    elif as_csv:
        print_csv(rows, columns)
    else:
        print_table(cells_of(rows, exams), _DROPPED_FIRST, wide=wide)
        if exams is None:
            print(left_out(ledger, _LEFT_OUT))
    if len(listed) > len(rows):
        print_warning(_MORE.format(len(rows)), beside_data=is_data)
    if incomplete and is_data:
        text = f"Photographs of {len(incomplete)} exams are missing; --missing shows them."
        print_warning(text, beside_data=True)
    elif incomplete:
        _print_incomplete(incomplete, limit, wide=wide)
    if not is_data:
        print(SAFETY_WORDS)
