"""fundusd worklist: show the eyes that a human has to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import (
    TABLE_ROWS,
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
from fundusd.cli.output import as_json, print_csv, print_table, reason_words
from fundusd.cli.release_warning import print_warning, release_ids, release_warning
from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.domain.readings import WorklistReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fundusd.cli.output import Row
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

# at the same urgency, retakes first, because the patient may still be there; then the oldest exam
_WORST_FIRST = ("-urgency", "-action", "day", "exam_id", "eye")
_DROPPED_FIRST = ("camera", "capture", "day", "patient")  # if the terminal is too narrow
_FINAL = {"yes": "referable", "no": "not referable", "indeterminate": "undecided"}
_SAYS_THE_RESULT = ("referable", "undecided")
_NEXT = {"none": "read", "retake": "retake", "refer_reader": "read", "contact_it": "ask IT"}


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
    model's result have changed since it was read), referable or undecided (nobody has read it), or
    confirmation (a negative result that the site wants confirmed). With --json or --csv, the
    command prints every row unless --limit is given.

    Examples:
      fundusd worklist
      fundusd worklist --for arbitration
      fundusd worklist --for confirmation --limit 10
      fundusd worklist --camera cr2-room1 --csv > worklist.csv
      fundusd worklist --missing
    """
    if missing:
        _print_missing(config, camera, json=json, as_csv=as_csv, wide=wide)
        return
    print_worklist(
        config, filters_of(camera, waits_for), limit, json=json, as_csv=as_csv, wide=wide
    )


def _print_missing(
    config: Path | None, camera: str, *, json: bool, as_csv: bool, wide: bool
) -> None:
    """Print the exams of which photographs are missing as a table, JSON or CSV."""
    from fundusd.app.open_ledger import opened_ledger

    require_one_format(json=json, as_csv=as_csv)
    settings, query = load(config), _incomplete(camera)
    with opened_ledger(settings) as ledger:
        ledger.check()
        require_known_camera(settings, ledger, camera)
        rows = ledger.ask(query)
        columns = ledger.columns_of(query.view)
    if json:
        print(as_json(rows))
    elif as_csv:
        print_csv(rows, columns)
    elif rows:
        print_table([_missing_cells(row) for row in rows], wide=wide)
        print(SAFETY_WORDS)
    else:
        print("No photograph is missing.")


def _incomplete(camera: str) -> ViewQuery:
    from fundusd.ledger import ViewQuery

    filters = {"camera_id": camera} if camera else {}
    return ViewQuery("v_incomplete_exam", ("day", "exam_id"), filters)


def _missing_cells(row: Row) -> dict[str, str]:
    from fundusd.reports import wording

    return {
        "exam": str(row["exam_id"]),
        "day": row["day"],
        "patient": wording.patient(row["patient_id"], row["patient_key"]),
        "not photographed": ", ".join(row["missing_fields"].split()),
        "result": _FINAL[row["final_referable"]],
    }


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
    rows_wanted = row_limit(limit, in_full=json or as_csv)
    query = ViewQuery("v_worklist", _WORST_FIRST, filters, limit=rows_wanted)
    settings = load(config)
    with opened_ledger(settings) as ledger:
        ledger.check()
        require_known_camera(settings, ledger, filters.get("camera_id", ""))
        rows = ledger.ask(query)
        columns = ledger.columns_of(query.view)
        is_whole = "waits_for" not in filters and not (json or as_csv)
        incomplete = ledger.ask(_incomplete(filters.get("camera_id", ""))) if is_whole else []
        warning = release_warning(ledger, release_ids(rows))
    print_warning(warning, beside_data=json or as_csv)
    if json:
        print(as_json(rows))
    elif as_csv:
        print_csv(rows, columns)
    else:
        print_table([_cells(row) for row in rows], _DROPPED_FIRST, wide=wide)
        if limit is None and len(rows) == TABLE_ROWS:
            print(
                f"The {TABLE_ROWS} most urgent are shown; use --limit to see more, "
                "--json or --csv to see all."
            )
        if incomplete:
            print("Photographs are missing:")
            print_table([_missing_cells(row) for row in incomplete], wide=wide)
        print(SAFETY_WORDS)


def _cells(row: Row) -> dict[str, str]:
    """Return the cells of an eye's row, keyed by column heading."""
    from fundusd.reports import wording

    waits = row["waits_for"].replace("_", " ")
    if row["deferred"]:
        waits += " (deferred)"
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "day": row["day"],
        "patient": wording.patient(row["patient_id"], row["patient_key"]),
        "waits for": waits,
        "result": _result(row),
        "next": _NEXT[row["action"]],
        "capture": str(row["capture_id"]),
        "camera": row["camera_id"],
    }


def _result(row: Row) -> str:
    """Return the result of an eye so far, why it is on the list, and the capture's warnings."""
    from fundusd.reports import wording

    parts = []
    if row["waits_for"] not in _SAYS_THE_RESULT:
        parts.append(_FINAL[row["final_referable"]])
    if row["final_grade"] is not None:
        parts.append(row["final_grade_label"])
    if row["reason"]:
        parts.append(reason_words(row["reason"]))
    if row["missing_fields"]:
        parts.append(f"missing: {row['missing_fields']}")
    result = ", ".join(parts)
    return " ".join([f"{result[:1].upper()}{result[1:]}.", *wording.warnings_of_row(row)])
