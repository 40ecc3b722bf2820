"""fundusd worklist: show the eyes that a human has to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.cli.layout import Command
from fundusd.cli.options import (
    TABLE_ROWS,
    Config,
    Csv,
    Json,
    OfCamera,
    WorstFirst,
    load,
    require_one_format,
    row_limit,
)
from fundusd.cli.output import as_json, grade_or_reason, print_csv, print_table
from fundusd.cli.rule_warning import print_warning, release_ids, rule_warning
from fundusd.domain.clinical_terms import SAFETY_WORDS

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from fundusd.cli.output import Row

_WORST_FIRST = ("-urgency", "day", "exam_id", "eye")  # at the same urgency, the oldest exam first


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(worklist)


def worklist(
    config: Config = None,
    camera: OfCamera = "",
    limit: WorstFirst = None,
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show the eyes that a human has to read, most urgent first.

    These are the eyes whose result is referable or undecided. With --json or --csv, the command
    prints every row unless --limit is given.

    Examples:
      fundusd worklist
      fundusd worklist --camera cr2-room1 --csv > worklist.csv
    """
    print_worklist(config, camera, limit, json=json, as_csv=as_csv)


def print_worklist(
    config: Path | None, camera: str, limit: int | None, *, json: bool, as_csv: bool
) -> None:
    """Print the worklist as a table, JSON or CSV."""
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger import ViewQuery

    require_one_format(json=json, as_csv=as_csv)
    filters = {}
    if camera:
        filters["camera_id"] = camera
    rows_wanted = row_limit(limit, in_full=json or as_csv)
    query = ViewQuery("v_worklist", _WORST_FIRST, filters, limit=rows_wanted)
    with opened_ledger(load(config)) as ledger:
        ledger.check()
        rows = ledger.ask(query)
        warning = rule_warning(ledger, release_ids(rows))
    print_warning(warning, beside_data=json or as_csv)
    if json:
        print(as_json(rows))
    elif as_csv:
        print_csv(rows)
    else:
        print_table(rows, _cells)
        if limit is None and len(rows) == TABLE_ROWS:
            print(
                f"The {TABLE_ROWS} most urgent are shown; use --limit to see more, "
                "--json or --csv to see all."
            )
        print(SAFETY_WORDS)


def _cells(row: Row) -> dict[str, str]:
    from fundusd.reports import wording

    cells = {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "day": row["day"],
        "camera": row["camera_id"],
        "patient": wording.patient(row["patient_id"], row["patient_key"]),
        "referable": row["referable"],
        "grade or reason": grade_or_reason(row),
        "next": row["action"].replace("_", " "),
        "capture": str(row["capture_id"]),
        "": "",
    }
    if row["action"] == "none":
        cells["next"] = "read it"
    if row["deferred"]:
        cells[""] = "deferred"
    return cells
