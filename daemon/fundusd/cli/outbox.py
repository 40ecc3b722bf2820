"""fundusd outbox: documents that are waiting, have failed, were delivered or are held back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.layout import Command, Group
from fundusd.cli.options import LARGEST_NUMBER, TABLE_ROWS, Config, Json, Wide, load
from fundusd.cli.output import as_json, local, print_table
from fundusd.domain.delivery import DeliveryState

if TYPE_CHECKING:
    from fundusd.cli.output import Row

app = typer.Typer(cls=Group, invoke_without_command=True)

_DROPPED_FIRST = ("delivered", "document", "attempts")  # if the terminal is too narrow
_State = Annotated[
    DeliveryState | None,
    typer.Option("--state", help="Show only this state.", show_default=False),
]
_Limit = Annotated[
    int,
    typer.Option(
        "--limit", min=1, max=LARGEST_NUMBER, metavar="N", help="Show only the first N documents."
    ),
]
_Delivery = Annotated[
    int | None,
    typer.Argument(metavar="ID", min=1, max=LARGEST_NUMBER, help="Number of a document."),
]
_Again = Annotated[bool, typer.Option("--again", help="Also if it has been delivered.")]
_Failed = Annotated[bool, typer.Option("--failed", help="Queue every failed document.")]


@app.callback()
def listing(
    context: typer.Context,
    config: Config = None,
    state: _State = None,
    limit: _Limit = TABLE_ROWS,
    json: Json = False,
    wide: Wide = False,
) -> None:
    """List documents that wait, have failed or were sent today.

    Those that are waiting or have failed come first, after them those of the last 30 days after
    which reports have to be removed from an archive, and then those that were delivered within the
    last 24 hours. Shows the receiver's answer to each; `fundusd outbox retry` queues
    failed documents again. Exams that are held back until a reader has settled them are listed with
    what they wait for.

    Examples:
      fundusd outbox
      fundusd outbox --state delivered
    """
    if context.invoked_subcommand is not None:
        return
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        rows = [row | {"waits_for": None} for row in ledger.deliveries(state, limit)]
        if state is None:
            rows += [_held(row) for row in ledger.held_exams(limit)]
    if json:
        print(as_json(rows))
    elif rows:
        print_table([_cells(row) for row in rows], _DROPPED_FIRST, wide=wide)
        if len(rows) >= limit:
            print(f"There may be more than {limit}; use --limit to see them.")
    elif state is None:
        print(
            "No document is waiting, held back or failed, and none was delivered in the last day."
        )
    else:
        print(f"No document is in the state {state}.")


def _held(row: Row) -> dict[str, Any]:
    nothing = dict.fromkeys(("id", "attempts", "answer", "created_at", "delivered_at"))
    return {**nothing, **row, "state": "held back", "next_in_seconds": None}


def _cells(row: Row) -> dict[str, str]:
    return {
        "id": "" if row["id"] is None else str(row["id"]),
        "receiver": row["receiver"],
        "document": row["document"],
        "exam": str(row["exam_id"]),
        "state": row["state"],
        "attempts": "" if row["attempts"] is None else str(row["attempts"]),
        "next": _next_attempt(row["next_in_seconds"]),
        "delivered": local(row["delivered_at"]),
        "answer": row["answer"] or ", ".join(row["waits_for"] or ()),
    }


def _next_attempt(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds <= 0:
        return "now"
    return f"in {seconds:.0f} s"


@app.command(cls=Command)
def retry(
    delivery: _Delivery = None,
    config: Config = None,
    failed: _Failed = False,
    again: _Again = False,
) -> None:
    """Queue one document, or every failed one, to be sent at once.

    A document that has been delivered is sent again only with --again.
    The exit status is 1 if nothing was queued for this ID.

    Examples:
      fundusd outbox retry 17
      fundusd outbox retry 17 --again
      fundusd outbox retry --failed
    """
    if (delivery is None) != failed:
        raise typer.BadParameter("give one ID, or --failed to queue every failed document")
    if failed and again:
        raise typer.BadParameter("--again needs an ID")
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        count = ledger.retry_deliveries(delivery, again=again)
    print(f"{count} queued again.")
    if not count and not failed:
        print("No such document is waiting or has failed. Send a delivered one with --again.")
        raise typer.Exit(1)
