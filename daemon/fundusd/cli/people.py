"""fundusd worklist, person, review: what humans have to read, what there is of one person, what a human says."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.options import Config, Json, as_json, load, local, print_csv
from fundusd.domain import SAFETY_WORDS, Eye, Grade, Reason, ReviewReason, ReviewVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Row = Mapping[str, Any]

review = typer.Typer(no_args_is_help=True, help="What humans say of results.", rich_markup_mode=None)

_SHOWN = 50  # rows of the table, unless --limit asks for more
_WORST_FIRST = ("-urgency", "day", "exam_id", "eye")  # of the same urgency, who waits longest

Camera = Annotated[str, typer.Option(metavar="ID", help="Of one camera.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many, worst first.", show_default=False)]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(worklist)
    app.command()(person)
    app.add_typer(review, name="review")


def worklist(
    config: Config = None, camera: Camera = "", limit: Limit = None, json: Json = False, as_csv: Csv = False
) -> None:
    """Show the eyes that a human has to read: referable or undecided ones, the worst first.

    Examples: fundusd worklist; fundusd worklist --camera cr2-room1 --csv > worklist.csv
    """
    _show_worklist(config, camera, limit, json=json, as_csv=as_csv)


@review.command("list")
def list_unread(
    config: Config = None, camera: Camera = "", limit: Limit = None, json: Json = False, as_csv: Csv = False
) -> None:
    """Show the eyes that a human has to read, as fundusd worklist does.

    Example: fundusd review list --limit 10
    """
    _show_worklist(config, camera, limit, json=json, as_csv=as_csv)


def _show_worklist(config: Path | None, camera: str, limit: int | None, *, json: bool, as_csv: bool) -> None:
    from fundusd.ledger import Question
    from fundusd.store import opened_ledger

    if json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    most = limit or (None if json or as_csv else _SHOWN)
    asked = Question("v_worklist", _WORST_FIRST, {"camera_id": camera} if camera else {}, limit=most)
    with opened_ledger(load(config)) as ledger:
        ledger.check()
        rows = ledger.ask(asked)
    if json:
        print(as_json(rows))
    elif as_csv:
        print_csv(rows)
    else:
        _print_tables({"": [_unread(row) for row in rows]})
        if limit is None and len(rows) == _SHOWN:
            print(f"The worst {_SHOWN}; more with --limit, all with --json or --csv.")
        print(SAFETY_WORDS)


def _unread(row: Row) -> dict[str, str]:
    from fundusd.pictures import words

    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "day": row["day"],
        "camera": row["camera_id"],
        "patient": words.patient(row["patient_id"], row["patient_key"]),
        "referable": row["referable"],
        "grade or reason": _grade_or_reason(row),
        "next": row["action"].replace("_", " ") if row["action"] != "none" else "read it",
        "capture": str(row["capture_id"]),
        "": "deferred" if row["deferred"] else "",
    }


def _grade_or_reason(row: Row) -> str:
    from fundusd.pictures import words

    told = [row["grade_label"]] if row["grade"] is not None else []
    told += [words.reason(Reason(row["reason"]))] if row["reason"] else []
    told += [f"lacks {row['lacks']}"] if row["lacks"] else []
    return ", ".join(told)


def person(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="A patient_key or its first 12 digits, or a patient id kept in clear.")
    ],
    config: Config = None,
    json: Json = False,
) -> None:
    """Show all exams of a person: each eye, what readers said, how it went on. That you asked goes into the audit log.

    Examples: fundusd person 9f86d081884c; fundusd person PHANTOM-7 --json
    """
    from fundusd.pictures import words
    from fundusd.store import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        told = ledger.person(key)
    if json:
        print(as_json(told))
        return
    print(f"Patient {words.patient(told['patient_id'], told['patient_key'])}, exams: {len(told['exams'])}")
    tables = {
        "Exams": [_exam(row) for row in told["exams"]],
        "Eyes": [_eye(row) for row in told["eyes"]],
        "Reviews": [_review(row) for row in told["reviews"]],
        "Since the visit before": [_change(row) for row in told["progression"]],
    }
    _print_tables({title: rows for title, rows in tables.items() if rows})
    print(SAFETY_WORDS)


def _exam(row: Row) -> dict[str, str]:
    return {
        "exam": str(row["exam_id"]),
        "day": row["day"],
        "referable": row["final_referable"],
        "grade": row["final_grade_label"] or "",
        "lacks": row["lacks"],
        "read by a human": "yes" if row["is_reviewed"] else "no",
    }


def _eye(row: Row) -> dict[str, str]:
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "by the model": row["referable"],
        "grade or reason": _grade_or_reason(row),
        "photographs": str(row["captures"]),
        "decisive capture": str(row["capture_id"]),
        "what counts": row["final_referable"] + ("" if row["final_grade"] is None else f", grade {row['final_grade']}"),
    }


def _review(row: Row) -> dict[str, str]:
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "at": local(row["reviewed_at"]),
        "verdict": row["verdict"],
        "grade": "" if row["grade"] is None else str(row["grade"]),
        "reason": row["reason"] or "",
        "reviewer": f"{row['reviewer']} ({row['role']}{', blinded' if row['blinded'] else ''})",
    }


def _change(row: Row) -> dict[str, str]:
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "from": f"{row['before_day']}, grade {row['before_grade']}",
        "to": f"{row['day']}, " + ("no grade" if row["grade"] is None else f"grade {row['grade']}"),
        "change": "" if row["change"] is None else f"{row['change']:+d}",
        "": "" if row["same_release"] else "another release",
    }


def _print_tables(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    from rich.console import Console

    from fundusd.printing import table_of

    console = Console(highlight=False)
    for title, rows in tables.items():
        if title:
            console.print(f"\n{title}")
        console.print(table_of(rows))


@review.command()
def record(
    exam: Annotated[int, typer.Argument(metavar="EXAM", min=1, help="Its number, as fundusd worklist shows it.")],
    eye: Annotated[Eye, typer.Argument(help="R is the right eye (OD), L the left (OS).", case_sensitive=False)],
    verdict: Annotated[ReviewVerdict, typer.Argument(help="What you say of the result.", case_sensitive=False)],
    role: Annotated[str, typer.Option(help="Yours: grader, ophthalmologist, …")],
    config: Config = None,
    reviewer: Annotated[str, typer.Option(help="Who read it.", show_default="your login name")] = "",
    grade: Annotated[
        int | None, typer.Option(min=0, max=4, help="The right ICDR grade, of an override.", show_default=False)
    ] = None,
    reason: Annotated[ReviewReason | None, typer.Option(help="Why you do not agree.", show_default=False)] = None,
    blinded: Annotated[bool, typer.Option("--blinded", help="You had not seen the model's result.")] = False,
    shown: Annotated[
        int | None, typer.Option("--capture", help="Only if this capture still decides.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Write down what a human says of an eye: a new line that nothing can change, with the result it is about.

    Examples: fundusd review record 12 R agree --role grader;
    fundusd review record 12 L override --grade 1 --reason false_lesion --reviewer 'Dr. Lee' --role ophthalmologist
    """
    from fundusd.ledger.reviews import Said
    from fundusd.pictures import words
    from fundusd.store import opened_ledger

    said = Said(
        exam_id=exam,
        eye=eye,
        verdict=verdict,
        reviewer=reviewer or getpass.getuser(),
        role=role,
        grade=None if grade is None else Grade(grade),
        reason=reason,
        is_blinded=blinded,
        shown=shown,
    )
    with opened_ledger(load(config)) as ledger:
        ledger.check()
        after = ledger.review(said)
    if json:
        print(as_json({"exam_id": exam, "referable": after.final.referable, "is_reviewed": after.is_reviewed}))
        return
    print(f"Exam {exam}: {words.person(after)}. {words.standing(after)}")
    print(SAFETY_WORDS)
