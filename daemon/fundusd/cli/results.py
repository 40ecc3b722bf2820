"""fundusd results: the results of captures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fundusd.cli.options import (
    TABLE_ROWS,
    Config,
    Json,
    as_json,
    load,
    local,
    print_csv,
    since_time,
)
from fundusd.domain.clinical_terms import SAFETY_WORDS, Outcome, Referable


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(results)


def results(
    config: Config = None,
    since: Annotated[
        str, typer.Option(help="Received since: 90m, 12h, 7d, or a date or time.")
    ] = "",
    camera: Annotated[str, typer.Option(metavar="ID", help="Of one camera.")] = "",
    grade: Annotated[
        int | None, typer.Option(min=0, max=4, help="ICDR grade.", show_default=False)
    ] = None,
    referable: Annotated[
        Referable | None, typer.Option(help="By the release's rule.", show_default=False)
    ] = None,
    outcome: Annotated[
        Outcome | None, typer.Option(help="What became of it.", show_default=False)
    ] = None,
    superseded: Annotated[
        bool, typer.Option("--superseded", help="Older revisions of overwritten files too.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many, newest first.", show_default=False)
    ] = None,
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")] = False,
) -> None:
    """Show results, newest first: one row per capture, the columns of the view v_result.

    Examples: fundusd results --since 12h --referable yes; fundusd results --camera cr2-room1 --csv > results.csv
    """
    from fundusd.app.open_ledger import opened_ledger

    if json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    earliest = since_time(since) if since else None
    with opened_ledger(load(config)) as ledger:
        ledger.check()
        rows = ledger.results(
            since=earliest,
            camera_id=camera or None,
            grade=grade,
            referable=referable,
            outcome=outcome,
            superseded=superseded,
            limit=limit or (None if json or as_csv else TABLE_ROWS),
        )
        if json:
            print(as_json(list(rows)))
        elif as_csv:
            print_csv(rows)
        else:
            _print_table(list(rows), limited=limit is None)


def _print_table(rows: list[Mapping[str, Any]], *, limited: bool) -> None:
    from rich.console import Console

    from fundusd.reports.terminal_table import table_of

    cells = [
        {
            "capture": str(row["capture_id"]),
            "received": local(row["received_at"]),
            "camera": row["camera_id"],
            "path": row["path"] + (f" (revision {row['revision']})" if row["revision"] > 1 else ""),
            "eye": row["eye"],
            "outcome": row["outcome"] or row["state"],
            "grade or reason": row["grade_label"] or row["reason"] or "",
            "score": _best_score(row),
            "referable": row["referable"] or "",
        }
        for row in rows
    ]
    console = Console()
    console.print(table_of(cells))
    models = sorted({row["model"] for row in rows if row["grade"] is not None})
    for model in models:
        console.print(f"Model: {model}", highlight=False)
    if limited and len(rows) == TABLE_ROWS:
        console.print(
            f"The newest {TABLE_ROWS}; more with --limit, all with --json or --csv.",
            highlight=False,
        )
    console.print(SAFETY_WORDS, highlight=False)


def _best_score(row: Mapping[str, Any]) -> str:
    if row["grade"] is None:
        return ""
    key = ("no_dr", "mild", "moderate", "severe", "pdr")[row["grade"]]
    return f"{row[f'score_{key}']:.2%}"
