"""fundusd outbox: documents that are waiting, have failed or were delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.layout import Command, Group
from fundusd.cli.options import TABLE_ROWS, Config, Json, load
from fundusd.cli.output import as_json, local, print_table
from fundusd.domain.delivery import DeliveryState

if TYPE_CHECKING:
    from fundusd.cli.output import Row

app = typer.Typer(cls=Group, invoke_without_command=True)

_State = Annotated[
    DeliveryState | None,
    typer.Option(
        "--state", help="Show only this state (default: queued and failed).", show_default=False
    ),
]
_Limit = Annotated[
    int, typer.Option("--limit", min=1, metavar="N", help="Show only the N newest documents.")
]
_Delivery = Annotated[int | None, typer.Argument(metavar="ID", help="Number of a document.")]
_Failed = Annotated[bool, typer.Option("--failed", help="Queue every failed document.")]


@app.callback()
def listing(
    context: typer.Context,
    config: Config = None,
    state: _State = None,
    limit: _Limit = TABLE_ROWS,
    json: Json = False,
) -> None:
    """List the documents that are waiting to be sent or have failed.

    Shows the receiver's answer to each; `fundusd outbox retry` queues failed documents again.

    Examples:
      fundusd outbox
      fundusd outbox --state delivered
    """
    if context.invoked_subcommand is not None:
        return
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        rows = ledger.deliveries(state, limit)
    if json:
        print(as_json(rows))
    elif rows:
        print_table(rows, _cells)
    elif state is None:
        print("No document is waiting, and none has failed.")
    else:
        print(f"No document is in the state {state}.")


def _cells(row: Row) -> dict[str, str]:
    return {
        "id": str(row["id"]),
        "receiver": row["receiver"],
        "document": row["document"],
        "exam": str(row["exam_id"]),
        "state": row["state"],
        "attempts": str(row["attempts"]),
        "next": _next_attempt(row["next_in_seconds"]),
        "delivered": local(row["delivered_at"]),
        "answer": row["answer"] or "",
    }


def _next_attempt(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds <= 0:
        return "now"
    return f"in {seconds:.0f} s"


@app.command(cls=Command)
def retry(delivery: _Delivery = None, config: Config = None, failed: _Failed = False) -> None:
    """Queue one document, or every failed one, to be sent at once.

    The exit status is 1 if no document has this ID.

    Examples:
      fundusd outbox retry 17
      fundusd outbox retry --failed
    """
    if (delivery is None) != failed:
        raise typer.BadParameter("give one ID, or --failed to queue every failed document")
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        count = ledger.retry_deliveries(delivery)
    print(f"{count} queued again.")
    if not count and not failed:
        raise typer.Exit(1)
