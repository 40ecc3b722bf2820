"""What is shown of an eye or of one capture, on paper and on the terminal alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fundusd.domain.clinical_terms import Action, Eye, EyeSource, Grade, Outcome, Reason, Referable
from fundusd.reports import wording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.exam import EyeResult
    from fundusd.domain.decoding import Pixels


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph to be shown, or the sentence that stands in its place; `notes` are its caption."""

    pixels: Pixels | None  # uint8 [side, side, 3], RGB
    notes: str


@dataclass(frozen=True, slots=True)
class Panel:
    """An eye, or one capture, as people read it."""

    heading: str
    source: str  # which capture, of how many
    photograph: Photograph
    referable: Referable
    grade: str
    model: str  # what the model said, where that is something else
    quality: str
    scores: Sequence[float] | None
    reading: str  # what a human said
    steps: Sequence[str]


def of_eye(eye: EyeResult, photograph: Photograph) -> Panel:
    """Show an eye by the photograph that decides it."""
    shot = eye.decisive
    parts = [f"capture {shot.capture_id}", f"camera {shot.camera_id}", shot.field or ""]
    if len(eye.shots) > 1:
        parts.append(f"the one of {len(eye.shots)} that decides")
    return Panel(
        heading=wording.EYES[eye.eye],
        source=", ".join(filter(None, parts)),
        photograph=photograph,
        referable=eye.final.referable,
        grade=wording.grade(eye.final.grade),
        model="" if eye.final == eye.assessment else wording.overruled(eye.assessment),
        quality=wording.quality(eye.outcome, eye.reason),
        scores=shot.scores,
        reading=wording.read(eye.reading) if eye.reading else "Not read by a human yet.",
        steps=wording.steps_of_eye(eye),
    )


def missing(eye: Eye) -> Panel:
    """Show that an eye was not photographed: never a negative."""
    return Panel(
        heading=wording.EYES[eye],
        source="no capture",
        photograph=Photograph(None, "Not photographed."),
        referable=Referable.INDETERMINATE,
        grade=wording.grade(None),
        model="",
        quality="No photograph",
        scores=None,
        reading="",
        steps=["Photograph this eye."],
    )


def of_row(row: Mapping[str, Any], photograph: Photograph) -> Panel:
    """Show one capture by its row of v_result."""
    outcome = Outcome(row["outcome"]) if row["outcome"] else None
    why = Reason(row["reason"]) if row["reason"] else None
    field = f", {row['field']}" if row["field"] else ""
    old = ", superseded by a newer file" if row["superseded"] else ""
    return Panel(
        heading=wording.EYES[Eye(row["eye"])],
        source=f"capture {row['capture_id']}, camera {row['camera_id']}{field}{old}",
        photograph=photograph,
        referable=Referable(row["referable"] or Referable.INDETERMINATE),
        grade=wording.grade(None if row["grade"] is None else Grade(row["grade"])),
        model="",
        quality=wording.quality(outcome, why)
        if outcome
        else f"Not known yet: the capture is {row['state']}",
        scores=None
        if row["grade"] is None
        else [row[f"score_{grade.name.lower()}"] for grade in Grade],
        reading="",
        steps=_steps_of_row(row, outcome),
    )


def _steps_of_row(row: Mapping[str, Any], outcome: Outcome | None) -> list[str]:
    eye = Eye(row["eye"])
    steps = []
    if eye is Eye.UNKNOWN and outcome is not Outcome.REFUSED:
        steps.append(
            wording.whose_eye(
                row["capture_id"], is_conflict=row["eye_source"] == EyeSource.CONFLICT
            )
        )
    if row["action"]:
        steps += wording.step(Action(row["action"]), eye)
    if row["referable"] == Referable.YES:
        steps.insert(0, wording.READ_FIRST)
    elif outcome is Outcome.GRADED:
        steps.append("One photograph is no result for the person: see the exam.")
    elif outcome is None:
        steps.append("Wait for its result.")
    return steps
