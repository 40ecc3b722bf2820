"""fundusd outbox: documents that wait, failed or were delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.options import Config, Json, as_json, load, local
from fundusd.domain.delivery import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(help="Documents that are sent to receivers.", invoke_without_command=True)
_SHOWN = 50


@app.callback()
def listing(
    context: typer.Context,
    config: Config = None,
    state: Annotated[
        DeliveryState | None,
        typer.Option(help="Only these; else what is queued or failed.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = _SHOWN,
    json: Json = False,
) -> None:
    """List documents that wait or failed, with the receiver's own answer; or queue them again with `retry`.

    Examples: fundusd outbox; fundusd outbox --state delivered; fundusd outbox retry --failed
    """
    if context.invoked_subcommand is not None:
        return
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        rows = ledger.deliveries(state, limit)
    if json:
        print(as_json(rows))
        return
    if not rows:
        print("Nothing waits, nothing failed." if state is None else f"Nothing is {state}.")
        return
    from rich.console import Console

    from fundusd.reports.terminal_table import table_of

    Console().print(table_of([_cells(row) for row in rows]))


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    wait = row["next_in_seconds"]
    return {
        "id": str(row["id"]),
        "receiver": row["receiver"],
        "document": row["document"],
        "exam": str(row["exam_id"]),
        "state": row["state"],
        "attempts": str(row["attempts"]),
        "next": "" if wait is None else "now" if wait <= 0 else f"in {wait:.0f} s",
        "delivered": local(row["delivered_at"]) if row["delivered_at"] else "",
        "answer": row["answer"] or "",
    }


@app.command("retry")
def retry(
    delivery: Annotated[
        int | None, typer.Argument(metavar="ID", help="A document's number.")
    ] = None,
    config: Config = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every one that failed.")] = False,
) -> None:
    """Queue a document again, to be sent at once.

    Examples: fundusd outbox retry 17; fundusd outbox retry --failed
    """
    if (delivery is None) != failed:
        raise typer.BadParameter("name one ID, or --failed for all of them")
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        count = ledger.retry_deliveries(delivery)
    print(f"{count} queued again.")
    raise typer.Exit(0 if count or failed else 1)
