"""fundusd review: record what a human says of an eye."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from fundusd.cli.options import Camera, Config, Csv, Json, Limit, as_json, load
from fundusd.cli.worklist import show_worklist
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade, ReviewReason, ReviewVerdict

review = typer.Typer(
    no_args_is_help=True, help="What humans say of results.", rich_markup_mode=None
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(review, name="review")


@review.command("list")
def list_unread(
    config: Config = None,
    camera: Camera = "",
    limit: Limit = None,
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show the eyes that a human has to read, as fundusd worklist does.

    Example: fundusd review list --limit 10
    """
    show_worklist(config, camera, limit, json=json, as_csv=as_csv)


@review.command()
def record(
    exam: Annotated[
        int, typer.Argument(metavar="EXAM", min=1, help="Its number, as fundusd worklist shows it.")
    ],
    eye: Annotated[
        Eye, typer.Argument(help="R is the right eye (OD), L the left (OS).", case_sensitive=False)
    ],
    verdict: Annotated[
        ReviewVerdict, typer.Argument(help="What you say of the result.", case_sensitive=False)
    ],
    role: Annotated[str, typer.Option(help="Yours: grader, ophthalmologist, …")],
    config: Config = None,
    reviewer: Annotated[
        str, typer.Option(help="Who read it.", show_default="your login name")
    ] = "",
    grade: Annotated[
        int | None,
        typer.Option(
            min=0, max=4, help="The right ICDR grade, of an override.", show_default=False
        ),
    ] = None,
    reason: Annotated[
        ReviewReason | None, typer.Option(help="Why you do not agree.", show_default=False)
    ] = None,
    blinded: Annotated[
        bool, typer.Option("--blinded", help="You had not seen the model's result.")
    ] = False,
    shown: Annotated[
        int | None,
        typer.Option("--capture", help="Only if this capture still decides.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Write down what a human says of an eye: a new line that nothing can change, with the result it is about.

    Examples: fundusd review record 12 R agree --role grader;
    fundusd review record 12 L override --grade 1 --reason false_lesion --reviewer 'Dr. Lee' --role ophthalmologist
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger.reviews import Review
    from fundusd.reports import wording

    given = Review(
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
        after = ledger.review(given)
    if json:
        print(
            as_json(
                {
                    "exam_id": exam,
                    "referable": after.final.referable,
                    "is_reviewed": after.is_reviewed,
                }
            )
        )
        return
    print(f"Exam {exam}: {wording.person(after)}. {wording.standing(after)}")
    print(SAFETY_WORDS)
