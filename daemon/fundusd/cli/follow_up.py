"""fundusd follow-up: what remains to be done for eyes that a reader could not grade."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import LARGEST_NUMBER, Config, Csv, Json, Wide, load, require_one_format
from fundusd.cli.output import as_json, local, print_csv, print_table
from fundusd.cli.readers import Reader, reader_who_may
from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.domain.readings import FollowUpEnd, ReaderPermission

if TYPE_CHECKING:
    from typing import Any

    from fundusd.cli.output import Row

app = typer.Typer(
    no_args_is_help=True, help="List and close follow-ups of eyes that cannot be graded."
)


class _ClosedBy(StrEnum):
    """How a person can close a follow-up; a later reading that grades the eye closes it too."""

    DONE = FollowUpEnd.DONE.value
    DECLINED = FollowUpEnd.DECLINED.value
    NOT_POSSIBLE = FollowUpEnd.NOT_POSSIBLE.value
    OPENED_IN_ERROR = FollowUpEnd.OPENED_IN_ERROR.value


_Id = Annotated[
    int,
    typer.Argument(
        metavar="ID", min=1, max=LARGEST_NUMBER, help="Number of a follow-up, as the list shows it."
    ),
]
_How = Annotated[
    _ClosedBy,
    typer.Option("--how", metavar="HOW", help=f"How it ended: {', '.join(_ClosedBy)}."),
]
_DROPPED_FIRST = ("state", "since", "patient")  # if the terminal is too narrow
_Closed = Annotated[bool, typer.Option("--all", help="Show those that are closed, too.")]


@app.command("list", cls=Command)
def list_open(
    config: Config = None,
    closed: _Closed = False,
    json: Json = False,
    as_csv: Csv = False,
    wide: Wide = False,
) -> None:
    """Show the follow-ups that are open, oldest first.

    Examples:
      fundusd follow-up list
      fundusd follow-up list --all --csv > follow-ups.csv
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger import ViewQuery

    require_one_format(json=json, as_csv=as_csv)
    filters: dict[str, Any] = {} if closed else {"state": "open"}
    query = ViewQuery("v_follow_up", ("since", "follow_up_id"), filters)
    with opened_ledger(load(config)) as ledger:
        ledger.check()
        rows = ledger.ask(query)
        columns = ledger.columns_of(query.view)
    if json:
        print(as_json(rows))
    elif as_csv:
        print_csv(rows, columns)
    elif rows:
        print_table([cells(row) for row in rows], _DROPPED_FIRST, wide=wide)
        print(SAFETY_WORDS)
    else:
        print("There is no follow-up." if closed else "No follow-up is open.")


@app.command(cls=Command)
def close(
    follow_up: _Id, how: _How, reader: Reader = "", config: Config = None, json: Json = False
) -> None:
    """Close a follow-up.

    A retake that was photographed needs no closing: the reading that grades the eye closes it.

    Examples:
      fundusd follow-up close 3 --how done
      fundusd follow-up close 4 --how declined --reader okafor
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.clinical.eye_result import FOLLOWED_UP
    from fundusd.reports import wording

    settings = load(config)
    by = reader_who_may(settings, reader, ReaderPermission.CORRECT)
    with opened_ledger(settings) as ledger:
        ledger.check()
        after = ledger.close_follow_up(follow_up, FollowUpEnd(how), by.id)
    if json:
        answer = {"follow_up_id": follow_up, "exam_id": after.exam_id, "closed_how": how}
        print(as_json(answer | {"referable": after.final.referable}))
        return
    print(f"Follow-up {follow_up} of exam {after.exam_id} is closed: {how.replace('_', ' ')}.")
    print(wording.result_line(after))
    for eye in after.eyes:
        if eye.open_reason in FOLLOWED_UP and eye.waits_for is not None:
            name = wording.EYES[eye.eye]
            print(f"{name}: on the worklist again, until a reader records what was found.")
    print(SAFETY_WORDS)


def cells(row: Row) -> dict[str, str]:
    """Return the cells of a follow-up's row in a table."""
    from fundusd.reports import wording

    patient = wording.patient(row["patient_id"], row["patient_key"])
    if row["patient_key"] is None:
        patient += f" (see: fundusd report exam {row['exam_id']})"
    ended = row["state"]
    if row["closed_how"]:
        how = row["closed_how"].replace("_", " ")
        ended = f"{how}, {row['closed_by']}, {local(row['closed_at'])}"
    return {
        "id": str(row["follow_up_id"]),
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "patient": patient,
        "what": row["kind"].replace("_", " "),
        "since": f"{local(row['since'])[:10]}, {row['opened_by']}",
        "state": ended,
    }
