"""What the files of an eye come to; tests of single rows of docs/exams.md and properties."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import ledger_cases as cases

from fundusd.clinical.judgement import judge
from fundusd.clinical.shot import Shot
from fundusd.domain.clinical_terms import Action, Eye, Grade, Outcome, Reason, Referable

if TYPE_CHECKING:
    from collections.abc import Sequence

OPEN = Referable.INDETERMINATE


def shot(
    number: int = 1, eye: Eye = Eye.RIGHT, grade: Grade | None = Grade.NO_DR, **more: object
) -> Shot:
    made = Shot(
        capture_id=number,
        camera_id="cam",
        stem=f"P7/{number}",
        digest=cases.digest_of(str(number)),
        release_id=1,
        eye=eye,
        field=None,
        outcome=Outcome.GRADED if grade is not None else Outcome.UNGRADABLE,
        reason=None if grade is not None else Reason.TOO_DARK,
        grade=grade,
        referable=Referable.INDETERMINATE
        if grade is None
        else Referable.YES
        if grade >= 2
        else Referable.NO,
        scores=None if grade is None else (0.2,) * 5,
    )
    return replace(made, **more)  # type: ignore[arg-type]  # by name


SHOTS = st.lists(
    st.builds(
        shot,
        st.integers(1, 99),
        st.sampled_from(Eye),
        st.sampled_from([None, *Grade]),
        field=st.sampled_from([None, "macula", "disc"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda made: made.capture_id,
)


@given(SHOTS)
def test_an_eye_is_referable_exactly_when_one_of_its_photographs_is(shots: Sequence[Shot]) -> None:
    for eye in judge(shots):
        mine = [photograph for photograph in shots if photograph.eye is eye.eye]
        assert (eye.referable is Referable.YES) == any(
            photograph.referable is Referable.YES for photograph in mine
        )


@given(SHOTS)
def test_an_eye_without_a_grade_is_never_a_negative(shots: Sequence[Shot]) -> None:
    for eye in judge(shots):
        assert eye.grade is not None or eye.referable is Referable.INDETERMINATE


@given(SHOTS, st.randoms())
def test_the_order_of_the_photographs_does_not_matter(shots: list[Shot], random: object) -> None:
    before = judge(shots)
    random.shuffle(shots)  # type: ignore[attr-defined]  # Hypothesis gives a Random
    after = judge(shots)
    assert [(eye.eye, eye.referable, eye.grade, eye.decisive) for eye in before] == [
        (eye.eye, eye.referable, eye.grade, eye.decisive) for eye in after
    ]


def test_the_same_shot_as_jpeg_and_dicom_shares_its_eye() -> None:
    [eye] = judge([shot(1, Eye.LEFT, stem="a"), shot(2, Eye.UNKNOWN, stem="a")])
    assert (eye.eye, len(eye.shots)) == (Eye.LEFT, 2)


def test_two_files_of_one_shot_that_disagree_are_of_an_unknown_eye() -> None:
    [eye] = judge([shot(1, Eye.LEFT, stem="a"), shot(2, Eye.RIGHT, stem="a")])
    assert eye.eye is Eye.UNKNOWN
    assert eye.decisive.is_conflict


def test_a_retake_rescues_an_ungradable_eye_and_a_refused_picture_spoils_none() -> None:
    refused = shot(3, grade=None, outcome=Outcome.REFUSED, reason=Reason.NOT_RETINA)
    [eye] = judge([shot(1, grade=None), shot(2, grade=Grade.MILD), refused])
    assert (eye.outcome, eye.grade, eye.referable) == (Outcome.GRADED, Grade.MILD, Referable.NO)
    [only] = judge([refused])
    assert (only.outcome, only.referable) == (Outcome.REFUSED, Referable.INDETERMINATE)
    assert only.action is Action.RETAKE


@pytest.mark.parametrize("reason", [Reason.REDFREE_OR_FA, Reason.WRONG_MODALITY])
def test_an_eye_without_any_photograph_for_grading_is_referred_to_a_reader(reason: Reason) -> None:
    refused = shot(1, grade=None, outcome=Outcome.REFUSED, reason=reason)
    [only] = judge([refused])
    assert (reason.action, only.action) == (Action.NONE, Action.REFER_READER)
    [beside_a_photograph] = judge([refused, shot(2, grade=Grade.MILD)])
    assert beside_a_photograph.action is Action.NONE


def test_an_expected_field_that_lacks_leaves_the_eye_undecided() -> None:
    [eye] = judge([shot(1, field="macula")], ["disc", "macula"])
    assert (eye.referable, eye.missing_fields) == (Referable.INDETERMINATE, ("disc",))
    [worse] = judge([shot(1, grade=Grade.PDR, field="macula")], ["disc", "macula"])
    assert worse.referable is Referable.YES
