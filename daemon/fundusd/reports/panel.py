"""The panel that pages and the terminal show for an eye or a capture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye, Referable
from fundusd.reports import next_steps, reading_words, wording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.exam import Absence, Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.domain.decoding import Pixels


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph with its caption, or a sentence that is shown in its place.

    If there is only a sentence, `pixels` is None and `notes` is the sentence.
    """

    pixels: Pixels | None  # uint8 [side, side, 3], RGB
    notes: str


NOT_SHOWN = Photograph(None, "Not shown.")
_MARK = 8  # digits of the digest of a set of photographs, which identify it
_NOT_PHOTOGRAPHED = "Not photographed."


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
    absence: str = ""  # what a person has said, if the eye is absent and does not count
    of_photograph: str = ""  # the verdict on a single photograph, which is no result

    @property
    def verdict(self) -> str:
        """Return the result in a few words."""
        if self.absence:
            return "Said to be absent"
        return self.of_photograph or wording.VERDICTS[self.referable]


def of_exam(exam: Exam, photographs: Mapping[int, Photograph]) -> list[Panel]:
    """Return the panels of the right, the left and the unknown eye, if there is one.

    `photographs` are keyed by the number of the capture.
    """
    by_eye = {result.eye: result for result in exam.eyes}
    absences = {stated.eye: stated for stated in exam.absences}
    panels: list[Panel] = []
    for name in Eye:
        eye = by_eye.get(name)
        if eye is not None:
            shown = photographs.get(eye.decisive.capture_id, NOT_SHOWN)
            made = of_eye(eye, shown)
            if eye not in exam.counting:
                made = _not_counting(made, absences[name])
            panels.append(made)
        elif name in absences:
            panels.append(_absent(absences[name]))
        elif name in exam.missing:
            panels.append(_missing(name, next_steps.photograph(exam, name)))
    return panels


def of_eye(eye: EyeResult, photograph: Photograph) -> Panel:
    """Return the panel of an eye.

    `photograph` shows the eye's decisive capture.
    """
    model = ""
    if eye.readings.current and eye.final != eye.assessment:
        model = wording.overruled(eye.assessment)
    scores = None  # of an undecided eye, they would be read as its result
    if eye.final.referable is not Referable.INDETERMINATE:
        scores = eye.decisive.scores
    return Panel(
        heading=wording.EYES[eye.eye],
        source=_source_of_eye(eye),
        photograph=photograph,
        referable=eye.final.referable,
        grade=wording.grade_of_eye(eye),
        model=model,
        quality=wording.quality_of_eye(eye),
        scores=scores,
        reading=" ".join(reading_words.of_eye(eye)),
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
    parts.append(f"photographs {eye.photographs[:_MARK]}")
    return ", ".join(parts)


def _missing(eye: Eye, step: str = "") -> Panel:
    """Return the panel of an eye that was not photographed.

    Its result is undecided, never negative.
    """
    return Panel(
        heading=wording.EYES[eye],
        source="no capture",
        photograph=Photograph(None, _NOT_PHOTOGRAPHED),
        referable=Referable.INDETERMINATE,
        grade=wording.grade_name(None),
        model="",
        quality="No photograph",
        scores=None,
        reading="",
        steps=[step] if step else (),
    )


def _absent(stated: Absence) -> Panel:
    """Return the panel of an eye that was not photographed and is said to be absent."""
    return _not_counting(_missing(stated.eye), stated)


def _not_counting(drawn: Panel, stated: Absence) -> Panel:
    """Return the panel of an eye without its result, because the eye is said to be absent."""
    return replace(
        drawn,
        grade=wording.grade_name(None),
        scores=None,
        steps=(),
        absence=wording.absence(stated),
    )
