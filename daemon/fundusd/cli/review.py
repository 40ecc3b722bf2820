"""fundusd review: record what a reader reports about an eye."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import Config, Csv, Json, OfCamera, WorstFirst, icdr_grade, load
from fundusd.cli.output import as_json
from fundusd.cli.rule_warning import print_warning, rule_warning
from fundusd.cli.worklist import print_worklist
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, ReviewReason, ReviewVerdict

app = typer.Typer(no_args_is_help=True, help="Record what human readers report.")

_Exam = Annotated[
    int,
    typer.Argument(metavar="EXAM", min=1, help="Number of an exam, as fundusd worklist shows it."),
]
_Eye = Annotated[
    Eye,
    typer.Argument(
        metavar="EYE",
        help="R for the right eye (OD), L for the left (OS), U if unknown.",
        case_sensitive=False,
    ),
]
_Verdict = Annotated[
    ReviewVerdict,
    typer.Argument(
        metavar="VERDICT", help=f"One of: {', '.join(ReviewVerdict)}.", case_sensitive=False
    ),
]
_Role = Annotated[
    str, typer.Option("--role", metavar="ROLE", help="Your role: grader, ophthalmologist, …")
]
_Reviewer = Annotated[
    str,
    typer.Option("--reviewer", metavar="NAME", help="Your name.", show_default="your login name"),
]
_Grade = Annotated[
    int | None,
    typer.Option(
        "--grade",
        metavar="0-4",
        min=0,
        max=4,
        help="The correct ICDR grade, for override.",
        show_default=False,
    ),
]
_Reason = Annotated[
    ReviewReason | None,
    typer.Option(
        "--reason",
        metavar="REASON",
        help=f"Why you disagree: {', '.join(ReviewReason)}.",
        show_default=False,
    ),
]
_Blinded = Annotated[bool, typer.Option("--blinded", help="You had not seen the model's result.")]
_Capture = Annotated[
    int | None,
    typer.Option(
        "--capture",
        metavar="CAPTURE",
        help="Record the review only if this capture still decides the result.",
        show_default=False,
    ),
]


@app.command("list", cls=Command)
def list_unread(
    config: Config = None,
    camera: OfCamera = "",
    limit: WorstFirst = None,
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show the eyes that a human has to read, as fundusd worklist does.

    Example:
      fundusd review list --limit 10
    """
    print_worklist(config, camera, limit, json=json, as_csv=as_csv)


@app.command(cls=Command)
def record(
    exam: _Exam,
    eye: _Eye,
    verdict: _Verdict,
    role: _Role,
    config: Config = None,
    reviewer: _Reviewer = "",
    grade: _Grade = None,
    reason: _Reason = None,
    blinded: _Blinded = False,
    shown: _Capture = None,
    json: Json = False,
) -> None:
    """Record a reader's verdict on the result of an eye.

    A review is stored with the result to which it refers, and can never be changed. An override
    needs --grade and --reason.

    Examples:
      fundusd review record 12 R agree --role grader
      fundusd review record 12 L override --grade 1 --reason other --role grader
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger.reviews import Review
    from fundusd.reports import wording

    review = Review(
        exam_id=exam,
        eye=eye,
        verdict=verdict,
        reviewer=reviewer or getpass.getuser(),
        role=role,
        grade=icdr_grade(grade),
        reason=reason,
        is_blinded=blinded,
        shown=shown,
    )
    with opened_ledger(load(config)) as ledger:
        ledger.check()
        after = ledger.review(review)
        warning = rule_warning(ledger, {eye.decisive.release_id for eye in after.eyes})
    print_warning(warning, beside_data=json)
    if json:
        final = after.final.referable
        answer = {"exam_id": exam, "referable": final, "is_reviewed": after.is_reviewed}
        print(as_json(answer))
        return
    print(f"Exam {exam}: {wording.person(after)}. {wording.standing(after)}")
    print(SAFETY_WORDS)
