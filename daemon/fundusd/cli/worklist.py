"""fundusd worklist: the eyes that a human has to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fundusd.cli.options import (
    TABLE_ROWS,
    Camera,
    Config,
    Csv,
    Json,
    Limit,
    as_json,
    grade_or_reason,
    load,
    print_csv,
    print_tables,
)
from fundusd.domain.clinical_terms import SAFETY_WORDS

if TYPE_CHECKING:
    from fundusd.cli.options import Row

_WORST_FIRST = ("-urgency", "day", "exam_id", "eye")  # of the same urgency, who waits longest


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(worklist)


def worklist(
    config: Config = None,
    camera: Camera = "",
    limit: Limit = None,
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show the eyes that a human has to read: referable or undecided ones, the worst first.

    Examples: fundusd worklist; fundusd worklist --camera cr2-room1 --csv > worklist.csv
    """
    show_worklist(config, camera, limit, json=json, as_csv=as_csv)


def show_worklist(
    config: Path | None, camera: str, limit: int | None, *, json: bool, as_csv: bool
) -> None:
    """Print the worklist as a table, JSON or CSV."""
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger import ViewQuery

    if json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    most = limit or (None if json or as_csv else TABLE_ROWS)
    asked = ViewQuery(
        "v_worklist", _WORST_FIRST, {"camera_id": camera} if camera else {}, limit=most
    )
    with opened_ledger(load(config)) as ledger:
        ledger.check()
        rows = ledger.ask(asked)
    if json:
        print(as_json(rows))
    elif as_csv:
        print_csv(rows)
    else:
        print_tables({"": [_unread(row) for row in rows]})
        if limit is None and len(rows) == TABLE_ROWS:
            print(f"The worst {TABLE_ROWS}; more with --limit, all with --json or --csv.")
        print(SAFETY_WORDS)


def _unread(row: Row) -> dict[str, str]:
    from fundusd.reports import wording

    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "day": row["day"],
        "camera": row["camera_id"],
        "patient": wording.patient(row["patient_id"], row["patient_key"]),
        "referable": row["referable"],
        "grade or reason": grade_or_reason(row),
        "next": row["action"].replace("_", " ") if row["action"] != "none" else "read it",
        "capture": str(row["capture_id"]),
        "": "deferred" if row["deferred"] else "",
    }
