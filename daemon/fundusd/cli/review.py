"""fundusd review: record what a reader reports about an eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import (
    LARGEST_NUMBER,
    Config,
    Csv,
    ExamNumber,
    Json,
    OfCamera,
    OneEye,
    Wide,
    WorstFirst,
    icdr_grade,
    load,
)
from fundusd.cli.output import as_json
from fundusd.cli.readers import Reader, reader_who_may
from fundusd.cli.release_warning import print_warning, release_warning
from fundusd.cli.worklist import WaitsFor, filters_of, print_worklist
from fundusd.domain.clinical_terms import SAFETY_WORDS, ReviewReason, ReviewVerdict
from fundusd.domain.readings import (
    FollowUpKind,
    Maculopathy,
    OtherLesion,
    Photocoagulation,
    ReaderPermission,
    ReadingPurpose,
)

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.ledger.reviews import Review

app = typer.Typer(no_args_is_help=True, help="Record what human readers report.")

_Verdict = Annotated[
    ReviewVerdict,
    typer.Argument(
        metavar="VERDICT", help=f"One of: {', '.join(ReviewVerdict)}.", case_sensitive=False
    ),
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
_Purpose = Annotated[
    ReadingPurpose,
    typer.Option("--purpose", metavar="PURPOSE", help=f"One of: {', '.join(ReadingPurpose)}."),
]
_Lesion = Annotated[
    OtherLesion | None,
    typer.Option(
        "--lesion",
        metavar="LESION",
        help=f"Another lesion, which is referred: {', '.join(OtherLesion)}.",
        show_default=False,
    ),
]
_Maculopathy = Annotated[
    Maculopathy | None,
    typer.Option("--maculopathy", metavar="M0|M1", help="Maculopathy.", show_default=False),
]
_Photocoagulation = Annotated[
    Photocoagulation | None,
    typer.Option(
        "--photocoagulation", metavar="P0|P1", help="Photocoagulation.", show_default=False
    ),
]
_StableTreated = Annotated[
    bool,
    typer.Option("--stable-treated", help="Proliferative retinopathy, treated and stable (R3S)."),
]
_FollowUp = Annotated[
    FollowUpKind | None,
    typer.Option(
        "--follow-up",
        metavar="WHAT",
        help=f"What follows for an ungradable eye: {', '.join(FollowUpKind)}.",
        show_default="slit_lamp",
    ),
]
_WithoutLesion = Annotated[
    bool,
    typer.Option("--without-lesion", help="A lesion that another reader has named is not there."),
]
_SeenElsewhere = Annotated[
    bool,
    typer.Option(
        "--seen-elsewhere",
        help="You have seen photographs whose files have left the camera's folder, for example in "
        "the archive.",
    ),
]
_Blinded = Annotated[bool, typer.Option("--blinded", help="You had not seen the model's result.")]
_Capture = Annotated[
    int | None,
    typer.Option(
        "--capture",
        min=1,
        max=LARGEST_NUMBER,
        metavar="CAPTURE",
        help="Record the review only if this capture still decides the result.",
        show_default=False,
    ),
]
_Photographs = Annotated[
    str | None,
    typer.Option(
        "--photographs",
        metavar="MARK",
        help="Record the review only if the eye still has the photographs that fundusd report exam "
        "shows with this mark.",
        show_default=False,
    ),
]


@app.command("list", cls=Command)
def list_unread(
    config: Config = None,
    camera: OfCamera = "",
    waits_for: WaitsFor = None,
    limit: WorstFirst = None,
    json: Json = False,
    as_csv: Csv = False,
    wide: Wide = False,
) -> None:
    """Show the eyes that a human has to read, as fundusd worklist does.

    Example:
      fundusd review list --limit 10
    """
    filters = filters_of(camera, waits_for)
    print_worklist(config, filters, limit, json=json, as_csv=as_csv, wide=wide)


@app.command(cls=Command)
def record(
    exam: ExamNumber,
    eye: OneEye,
    verdict: _Verdict,
    config: Config = None,
    reader: Reader = "",
    purpose: _Purpose = ReadingPurpose.ROUTINE,
    grade: _Grade = None,
    reason: _Reason = None,
    lesion: _Lesion = None,
    maculopathy: _Maculopathy = None,
    photocoagulation: _Photocoagulation = None,
    stable_treated: _StableTreated = False,
    follow_up: _FollowUp = None,
    blinded: _Blinded = False,
    shown: _Capture = None,
    photographs: _Photographs = None,
    without_lesion: _WithoutLesion = False,
    seen_elsewhere: _SeenElsewhere = False,
    json: Json = False,
) -> None:
    """Record a reader's verdict on the result of an eye.

    A review is stored with the result to which it refers, and can never be changed. An override
    needs --grade and --reason. A reader may read only for the purposes that the settings allow.

    Examples:
      fundusd review record 12 R agree
      fundusd review record 12 L override --grade 1 --reason other --reader okafor
      fundusd review record 12 L agree --lesion amd
      fundusd review record 12 R ungradable --follow-up referral
      fundusd review record 12 R agree --purpose arbitration
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger.reviews import Review

    settings = load(config)
    by = reader_who_may(settings, reader, ReaderPermission(purpose.value))
    review = Review(
        exam_id=exam,
        eye=eye,
        verdict=verdict,
        reviewer=by.id,
        role=by.role,
        purpose=purpose,
        grade=icdr_grade(grade),
        reason=reason,
        is_blinded=blinded,
        shown=shown,
        photographs=photographs,
        lesion=lesion,
        maculopathy=maculopathy,
        photocoagulation=photocoagulation,
        is_stable_treated=stable_treated,
        follow_up=follow_up,
        is_without_lesion=without_lesion,
        is_seen_elsewhere=seen_elsewhere,
    )
    with opened_ledger(settings) as ledger:
        ledger.check()
        after = ledger.review(review)
        warning = release_warning(ledger, {eye.decisive.release_id for eye in after.eyes})
    print_warning(warning, beside_data=json)
    _print(after, review, json=json)


def _print(after: Exam, recorded: Review, *, json: bool) -> None:
    """Print what was recorded, and what the exam is now."""
    from fundusd.reports import wording

    if json:
        final = after.final.referable
        answer = {"exam_id": after.exam_id, "referable": final, "is_reviewed": after.is_reviewed}
        print(as_json(answer))
        return
    print(f"{wording.EYES[recorded.eye]}: recorded {recorded.verdict}.")
    print(wording.result_line(after))
    print(SAFETY_WORDS)
