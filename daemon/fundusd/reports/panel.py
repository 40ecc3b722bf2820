"""The panel that pages and the terminal show for an eye or a capture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fundusd.domain.clinical_terms import Action, Eye, EyeSource, Grade, Outcome, Reason, Referable
from fundusd.reports import next_steps, wording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.exam import EyeResult
    from fundusd.domain.decoding import Pixels


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph with its caption, or a sentence that is shown in its place.

    If there is only a sentence, `pixels` is None and `notes` is the sentence.
    """

    pixels: Pixels | None  # uint8 [side, side, 3], RGB
    notes: str


@dataclass(frozen=True, slots=True)
class Panel:
    """The texts, scores and photograph of an eye or a capture."""

    heading: str
    source: str  # which capture, of how many
    photograph: Photograph
    referable: Referable
    grade: str
    model: str  # the model's result, if a reader overruled it
    quality: str
    scores: Sequence[float] | None
    reading: str  # the result of the human reader
    steps: Sequence[str]
    warnings: Sequence[str] = ()  # in words


def of_eye(eye: EyeResult, photograph: Photograph) -> Panel:
    """Return the panel of an eye.

    `photograph` shows the eye's decisive capture.
    """
    model = ""
    if eye.readings.current and eye.final != eye.assessment:
        model = wording.overruled(eye.assessment)
    return Panel(
        heading=wording.EYES[eye.eye],
        source=_source_of_eye(eye),
        photograph=photograph,
        referable=eye.final.referable,
        grade=wording.grade_of_eye(eye),
        model=model,
        quality=wording.quality(eye.outcome, eye.reason),
        scores=eye.decisive.scores,
        reading=" ".join(wording.readings_of_eye(eye)),
        steps=next_steps.steps_of_eye(eye),
        warnings=wording.warnings_of_eye(eye),
    )


def _source_of_eye(eye: EyeResult) -> str:
    shot = eye.decisive
    parts = [f"capture {shot.capture_id}", f"camera {shot.camera_id}"]
    if shot.field:
        parts.append(shot.field)
    if len(eye.shots) > 1:
        parts.append(f"the decisive one of {len(eye.shots)}")
    return ", ".join(parts)


def missing(eye: Eye) -> Panel:
    """Return the panel of an eye that was not photographed.

    Its result is undecided, never negative.
    """
    return Panel(
        heading=wording.EYES[eye],
        source="no capture",
        photograph=Photograph(None, "Not photographed."),
        referable=Referable.INDETERMINATE,
        grade=wording.grade_name(None),
        model="",
        quality="No photograph",
        scores=None,
        reading="",
        steps=["Photograph this eye."],
    )


def of_row(row: Mapping[str, Any], photograph: Photograph) -> Panel:
    """Return the panel of one capture, given its row of v_result."""
    grade, scores = None, None
    if row["grade"] is not None:
        grade = Grade(row["grade"])
        scores = [row[f"score_{grade.name.lower()}"] for grade in Grade]
    return Panel(
        heading=wording.EYES[Eye(row["eye"])],
        source=_source_of_row(row),
        photograph=photograph,
        referable=Referable(row["referable"] or Referable.INDETERMINATE),
        grade=wording.grade_name(grade),
        model="",
        quality=_quality_of_row(row),
        scores=scores,
        reading="",
        steps=_steps_of_row(row),
        warnings=wording.warnings_of_row(row),
    )


def _source_of_row(row: Mapping[str, Any]) -> str:
    parts = [f"capture {row['capture_id']}", f"camera {row['camera_id']}"]
    parts.append(wording.field(row["field"]))
    if row["superseded"]:
        parts.append("superseded by a newer file")
    if row["excluded"]:
        parts.append(f"excluded by a reader ({row['excluded'].replace('_', ' ')})")
    return ", ".join(parts)


def _quality_of_row(row: Mapping[str, Any]) -> str:
    if not row["outcome"]:
        return f"Not known yet: the capture is {row['state']}"
    reason = None
    if row["reason"]:
        reason = Reason(row["reason"])
    return wording.quality(Outcome(row["outcome"]), reason)


def _steps_of_row(row: Mapping[str, Any]) -> list[str]:
    eye, outcome = Eye(row["eye"]), row["outcome"]
    steps = []
    if eye is Eye.UNKNOWN and outcome != Outcome.REFUSED:
        is_conflict = row["eye_source"] == EyeSource.CONFLICT
        steps.append(next_steps.whose_eye(row["capture_id"], is_conflict=is_conflict))
    if row["action"]:
        steps += next_steps.step(Action(row["action"]), eye)
    if row["referable"] == Referable.YES:
        steps.insert(0, next_steps.READ_FIRST)
    elif outcome == Outcome.GRADED:
        steps.append("One photograph is not a result for the person: see the exam.")
    elif not outcome:
        steps.append("Wait for its result.")
    return steps
