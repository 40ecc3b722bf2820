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
from fundusd.domain.eye_reasons import EyeReason

if TYPE_CHECKING:
    from collections.abc import Sequence

OPEN = Referable.INDETERMINATE


def shot(
    number: int = 1, eye: Eye = Eye.RIGHT, grade: Grade | None = Grade.NO_DR, **more: object
) -> Shot:
    made = Shot(
        capture_id=number,
        camera_id="cam",
        path=f"P7/{number}.jpg",
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


def test_a1_an_undecided_eye_takes_all_from_what_makes_it_undecided() -> None:
    [eye] = judge([shot(1, grade=None, field="macula"), shot(2, field="disc")])
    assert (eye.referable, eye.grade, eye.outcome) == (OPEN, None, Outcome.UNGRADABLE)
    assert (eye.reason, eye.action) == (Reason.TOO_DARK, Action.RETAKE)
    assert (eye.decisive.capture_id, eye.worst_grade_seen) == (1, Grade.NO_DR)


@pytest.mark.parametrize(
    ("first", "second", "is_made_up_for"),
    [
        ("macula", "macula", True),
        ("macula", "disc", False),
        (None, None, False),
        (None, "macula", False),
        ("macula", None, False),
    ],
)
def test_a2_only_the_same_known_field_makes_up_for_an_ungradable_photograph(
    first: str | None, second: str | None, *, is_made_up_for: bool
) -> None:
    [eye] = judge([shot(1, grade=None, field=first), shot(2, grade=Grade.MILD, field=second)])
    assert (eye.referable is Referable.NO) is is_made_up_for


def test_a2_a_camera_of_one_field_shows_the_macula_unless_its_names_say_otherwise() -> None:
    dark, good = shot(1, grade=None), shot(2)
    one = [replace(made, is_of_one_field=True) for made in (dark, good)]
    assert [eye.referable for eye in judge(one)] == [Referable.NO]
    of_disc = [one[0], replace(one[1], field="disc")]
    assert [eye.referable for eye in judge(of_disc)] == [OPEN]


def test_a2_another_file_of_the_same_photograph_makes_up_for_one() -> None:
    [eye] = judge([shot(1, grade=None, stem="a"), shot(2, stem="a")])
    assert (eye.referable, eye.decisive.capture_id) == (Referable.NO, 2)


@pytest.mark.parametrize("reason", [Reason.NOT_RETINA, Reason.MONTAGE, Reason.MULTIFRAME])
def test_a3_a_refused_photograph_that_could_be_the_retina_leaves_no_negative(
    reason: Reason,
) -> None:
    refused = shot(3, grade=None, outcome=Outcome.REFUSED, reason=reason)
    [eye] = judge([shot(2), refused])
    assert (eye.referable, eye.reason, eye.action) == (OPEN, reason, reason.action)
    assert len(eye.shots) == 2
    [without] = judge([shot(2), replace(refused, is_excluded=True)])
    assert (without.referable, len(without.shots)) == (Referable.NO, 1)


def test_a4_a_failed_photograph_leaves_no_negative() -> None:
    failed = shot(3, grade=None, outcome=Outcome.FAILED, reason=Reason.TRUNCATED)
    [eye] = judge([shot(2, field="macula"), failed])
    assert (eye.referable, eye.reason, eye.action) == (OPEN, Reason.TRUNCATED, Action.CONTACT_IT)


@pytest.mark.parametrize("code", ["patient_conflict", "digest_of_two_patients", "not_a_patient"])
def test_a_photograph_of_perhaps_another_patient_leaves_no_negative(code: str) -> None:
    [eye] = judge([shot(1), shot(2, warnings=(code,))])
    assert (eye.referable, eye.reason) == (OPEN, EyeReason.PATIENT_UNCERTAIN)


def test_an_eye_contradicted_by_the_pixels_leaves_no_negative_until_a_person_says_which() -> None:
    contradicted = shot(2, field="macula", warnings=("eye_contradicted",))
    [eye] = judge([shot(1, field="macula"), contradicted])
    assert (eye.referable, eye.reason) == (OPEN, EyeReason.EYE_CONTRADICTED)
    assert eye.action is Action.REFER_READER
    [said] = judge([shot(1), replace(contradicted, is_eye_said=True)])
    assert said.referable is Referable.NO
    [worse] = judge([replace(contradicted, grade=Grade.PDR, referable=Referable.YES)])
    assert (worse.referable, worse.reason) == (Referable.YES, None)


def test_an_accompanying_photograph_of_perhaps_another_patient_leaves_no_negative() -> None:
    red_free = shot(
        3,
        grade=None,
        outcome=Outcome.REFUSED,
        reason=Reason.REDFREE_OR_FA,
        warnings=("patient_conflict",),
    )
    [eye] = judge([shot(1, field="macula"), shot(2, field="macula"), red_free])
    assert (eye.referable, eye.reason) == (OPEN, EyeReason.PATIENT_UNCERTAIN)
    assert (eye.action, eye.decisive.capture_id) == (Action.REFER_READER, 3)
    [eye] = judge([shot(1, field="macula"), replace(red_free, is_patient_said=True)])
    assert (eye.referable, eye.reason) == (Referable.NO, None)


def test_what_a_person_said_of_the_eye_remains_if_that_file_is_excluded() -> None:
    moved = shot(1, Eye.LEFT, stem="a", is_eye_said=True, is_excluded=True)
    [eye] = judge([moved, shot(2, Eye.RIGHT, stem="a")])
    assert eye.eye is Eye.LEFT
    [eye] = judge([replace(moved, is_eye_said=False), shot(2, Eye.RIGHT, stem="a")])
    assert eye.eye is Eye.RIGHT


def test_an_unknown_eye_is_undecided_and_accompanying_files_make_none() -> None:
    [unknown] = judge([shot(1, Eye.UNKNOWN)])
    assert (unknown.referable, unknown.reason) == (OPEN, EyeReason.EYE_UNKNOWN)
    report = shot(2, Eye.UNKNOWN, None, outcome=Outcome.REFUSED, reason=Reason.WRONG_MODALITY)
    assert [eye.eye for eye in judge([shot(1), report])] == [Eye.RIGHT]
    assert [eye.eye for eye in judge([report])] == [Eye.UNKNOWN]


def test_the_most_useful_action_decides_whatever_arrived_first() -> None:
    blurred = shot(1, grade=None, reason=Reason.BLUR)
    cut = shot(2, grade=None, outcome=Outcome.FAILED, reason=Reason.TRUNCATED)
    hazy = shot(3, grade=None, reason=Reason.MEDIA_OPACITY)
    [eye] = judge([hazy, cut, blurred])
    assert (eye.action, eye.decisive.capture_id) == (Action.RETAKE, 1)
    [other] = judge([cut, hazy])
    assert other.action is Action.CONTACT_IT


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
