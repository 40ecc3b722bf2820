from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.camera_orientation import (
    Learnt,
    Orientation,
    add_votes,
    contradicts,
    describe,
    learn,
    usual_orientation,
    vote,
)
from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Callable

Place = tuple[float, float]

# what each orientation does to a place in a normal picture; x grows to the right, y downwards
TURNS: dict[Orientation, Callable[[float, float], Place]] = {
    Orientation.NORMAL: lambda x, y: (x, y),
    Orientation.FLIPPED: lambda x, y: (x, -y),
    Orientation.MIRRORED: lambda x, y: (-x, y),
    Orientation.UPSIDE_DOWN: lambda x, y: (-x, -y),
    Orientation.TURNED_RIGHT: lambda x, y: (-y, x),
    Orientation.TURNED_LEFT: lambda x, y: (y, -x),
    Orientation.MIRRORED_TURNED_RIGHT: lambda x, y: (-y, -x),
    Orientation.MIRRORED_TURNED_LEFT: lambda x, y: (y, x),
}
OTHER = {Eye.RIGHT: Eye.LEFT, Eye.LEFT: Eye.RIGHT}
EYES = st.sampled_from([Eye.RIGHT, Eye.LEFT])
ORIENTATIONS = st.sampled_from(list(Orientation))


def measures(
    eye: Eye,
    turn: Orientation = Orientation.NORMAL,
    *,
    disc: Place = (0.55, -0.1),
    macula: Place = (-0.1, 0.05),
    certainty: float = 0.6,
    contrast: float = 0.2,
) -> dict[str, float]:
    """Measure an eye in a picture; the places are those in a right eye."""
    side = 1 if eye is Eye.RIGHT else -1
    disc_x, disc_y = TURNS[turn](disc[0] * side, disc[1])
    macula_x, macula_y = TURNS[turn](macula[0] * side, macula[1])
    return {
        "optic_disc_x": disc_x,
        "optic_disc_y": disc_y,
        "optic_disc_certainty": certainty,
        "macula_x": macula_x,
        "macula_y": macula_y,
        "macula_contrast": contrast,
    }


def history(count: int, turn: Orientation = Orientation.NORMAL, *, start: str = "") -> str:
    """Return a history to which captures of both eyes in turn were added."""
    votes = []
    for number in range(count):
        eye = (Eye.RIGHT, Eye.LEFT)[number % 2]
        votes.append(vote(eye, None, measures(eye, turn)) or "")
    return add_votes(start, votes)


class Camera:
    """A camera's votes, added one by one, and its usual orientation."""

    def __init__(self) -> None:
        self.history = ""
        self.usual: Orientation | None = None

    @property
    def learnt(self) -> Learnt:
        return learn(self.history, self.usual)

    def deliver(self, count: int, turn: Orientation = Orientation.NORMAL) -> Camera:
        for directions in history(count, turn).split():
            self.history = add_votes(self.history, [directions])
            self.usual = usual_orientation(self.history, self.usual)
        return self


@given(EYES, ORIENTATIONS)
def test_both_eyes_of_a_camera_vote_alike(eye: Eye, turn: Orientation) -> None:
    assert vote(eye, None, measures(eye, turn)) == vote(
        OTHER[eye], None, measures(OTHER[eye], turn)
    )


@given(ORIENTATIONS, st.integers(10, 250))
def test_every_orientation_is_learnt_from_ten_captures_on(turn: Orientation, count: int) -> None:
    assert learn(history(9, turn)).orientation is None
    learnt = learn(history(count, turn))
    assert (learnt.orientation, learnt.former, learnt.is_unclear) == (turn, None, False)


@given(EYES, ORIENTATIONS, st.integers(30, 250))
def test_only_the_swapped_eye_is_contradicted(eye: Eye, turn: Orientation, count: int) -> None:
    camera = learn(history(count, turn))
    assert not contradicts(eye, None, measures(eye, turn), camera)
    assert contradicts(OTHER[eye], None, measures(eye, turn), camera)
    assert not contradicts(Eye.UNKNOWN, None, measures(eye, turn), camera)


@given(EYES, st.integers(0, 29))
def test_captures_that_look_mirrored_are_doubted_at_first(eye: Eye, count: int) -> None:
    camera = learn(history(count, Orientation.MIRRORED))
    assert contradicts(eye, None, measures(eye, Orientation.MIRRORED), camera)
    assert not contradicts(eye, None, measures(eye), camera)


@pytest.mark.parametrize("eye", OTHER)
def test_a_new_camera_is_assumed_to_be_normal(eye: Eye) -> None:
    assert not contradicts(eye, None, measures(eye), Learnt())
    assert contradicts(OTHER[eye], "macula", measures(eye), Learnt())


@pytest.mark.parametrize(
    "changes",
    [
        {"certainty": 0.11},
        {"disc": (0.1, 0.05)},
        {"disc": (0.1, 0.7)},
        {"disc": (0.31, 0.1), "contrast": 0.08},
    ],
    ids=[
        "uncertain",
        "centred on the disc",
        "a field above the macula",
        "near the centre without a macula",
    ],
)
def test_a_disc_without_a_clear_side_contradicts_nothing(changes: dict[str, float]) -> None:
    for eye in OTHER:
        assert not contradicts(eye, None, measures(Eye.RIGHT, **changes), Learnt())  # type: ignore[arg-type]


def test_a_field_that_is_named_otherwise_is_not_judged() -> None:
    assert vote(Eye.LEFT, "disc", measures(Eye.LEFT)) is None
    assert not contradicts(Eye.LEFT, "disc", measures(Eye.RIGHT), Learnt())


def test_a_capture_without_measures_of_the_disc_contradicts_nothing() -> None:
    assert vote(Eye.LEFT, None, {}) is None
    assert vote(Eye.LEFT, None, {"luminance": 80.0}) is None


@given(ORIENTATIONS, ORIENTATIONS, st.integers(100, 300))
def test_a_turned_camera_is_reported_within_twenty_votes(
    before: Orientation, after: Orientation, count: int
) -> None:
    learnt = Camera().deliver(count, before).deliver(20, after).learnt
    expected = None if after is before else before
    assert (learnt.orientation, learnt.former) == (after, expected)


@given(EYES, st.integers(16, 100))
def test_the_captures_of_a_camera_that_has_turned_are_doubted(eye: Eye, count: int) -> None:
    camera = Camera().deliver(200).deliver(count, Orientation.MIRRORED)
    assert contradicts(eye, None, measures(eye, Orientation.MIRRORED), camera.learnt)


@given(st.integers(20, 180), st.integers(20, 159))
def test_a_turn_is_shown_for_more_than_a_hundred_votes(before: int, after: int) -> None:
    learnt = Camera().deliver(before).deliver(after, Orientation.MIRRORED).learnt
    assert (learnt.orientation, learnt.former) == (Orientation.MIRRORED, Orientation.NORMAL)


@given(st.integers(20, 300))
def test_a_new_orientation_is_the_usual_one_after_160_votes(before: int) -> None:
    camera = Camera().deliver(before).deliver(160, Orientation.MIRRORED)
    assert camera.usual is Orientation.MIRRORED
    assert camera.learnt.former is None


@given(EYES, st.integers(1, 99), st.integers(0, 300))
def test_after_swapped_eyes_at_the_beginning_true_eyes_are_soon_believed(
    eye: Eye, swapped: int, true: int
) -> None:
    camera = Camera().deliver(swapped, Orientation.MIRRORED)
    assert camera.usual is None
    camera.deliver(16)  # a majority of the newest twenty
    camera.deliver(true)
    assert camera.learnt.former is None
    assert not contradicts(eye, None, measures(eye), camera.learnt)


@given(EYES, st.integers(20, 200), st.integers(1, 150))
def test_swapped_eyes_that_were_put_right_are_forgotten_and_never_come_back(
    eye: Eye, before: int, swapped: int
) -> None:
    """They once came back as a turn of the camera, when they were its oldest votes."""
    camera = Camera().deliver(before).deliver(swapped, Orientation.MIRRORED)
    for _ in range(300):
        camera.deliver(1)
        assert camera.usual is Orientation.NORMAL
        assert not contradicts(eye, None, measures(eye), camera.learnt)
    assert camera.learnt.former is None


@given(EYES, st.integers(20, 200), st.integers(1, 10))
def test_swapped_eyes_do_not_switch_the_check_off(eye: Eye, before: int, share: int) -> None:
    camera = Camera().deliver(before)
    for number in range(200):
        camera.deliver(1, (Orientation.MIRRORED, Orientation.NORMAL)[number % share > 0])
        if camera.usual is Orientation.NORMAL:
            assert contradicts(OTHER[eye], None, measures(eye), camera.learnt)


def test_a_level_macula_does_not_look_like_a_turn() -> None:
    learnt = learn("ru " * 40 + "r= r= r= r= rd " * 4, Orientation.NORMAL)
    assert (learnt.orientation, learnt.former) == (Orientation.NORMAL, None)


def test_a_camera_whose_macula_is_never_visible_is_learnt_by_the_side_of_the_disc() -> None:
    learnt = learn("r- " * 30)
    assert (learnt.orientation, learnt.is_unclear) == (Orientation.NORMAL, False)
    assert learn("r- l- " * 15).is_unclear


@given(st.lists(st.sampled_from(["ru", "rd", "r-"]), max_size=200), st.randoms())
def test_some_swapped_eyes_do_not_change_what_was_learnt(votes: list[str], random: object) -> None:
    swapped = ["lu"] * (len([vote for vote in votes if vote != "r-"]) // 25)
    mixed = votes + swapped
    random.shuffle(mixed)  # type: ignore[attr-defined]
    learnt = learn(" ".join(mixed))
    assert learnt.orientation in {None, Orientation.NORMAL, Orientation.FLIPPED}


@pytest.mark.parametrize("eye", OTHER)
def test_a_camera_whose_captures_disagree_contradicts_nothing(eye: Eye) -> None:
    camera = learn("ru lu " * 30)
    assert camera.is_unclear
    assert not contradicts(eye, None, measures(Eye.RIGHT), camera)


def test_a_single_picture_that_is_turned_by_180_degrees_contradicts_nothing() -> None:
    camera = learn(history(60))
    for eye in OTHER:
        assert not contradicts(eye, None, measures(eye, Orientation.UPSIDE_DOWN), camera)


@given(EYES, st.sampled_from([Orientation.NORMAL, Orientation.UPSIDE_DOWN]), st.integers(0, 1))
def test_where_pictures_are_partly_turned_by_180_degrees_the_macula_tells_the_eye(
    eye: Eye, turn: Orientation, mirrored: int
) -> None:
    camera = learn(("ru ru ld ", "lu rd rd rd rd rd rd ")[mirrored] * 20)
    assert "partly turned by 180 degrees" in describe(camera)
    named = eye if not mirrored else OTHER[eye]
    assert not contradicts(named, None, measures(eye, turn), camera)
    assert contradicts(OTHER[named], None, measures(eye, turn), camera)
    level = measures(eye, turn, macula=(-0.1, -0.1))
    assert not contradicts(OTHER[named], None, level, camera)


def test_nasal_fields_of_a_camera_contradict_nothing_but_its_macular_fields_do() -> None:
    nasal = measures(
        Eye.LEFT, contrast=0.05
    )  # the disc of a right eye's nasal field is on the left
    assert contradicts(Eye.RIGHT, None, nasal, learn(history(40)))
    camera = learn("ru l- " * 40)
    assert camera.orientation is Orientation.NORMAL
    assert not contradicts(Eye.RIGHT, None, nasal, camera)
    assert contradicts(Eye.RIGHT, None, measures(Eye.LEFT), camera)


@given(st.lists(st.sampled_from(["ru", "lu", "u-", "dr", "ld"]), max_size=600))
def test_a_history_keeps_the_last_two_hundred_votes(votes: list[str]) -> None:
    kept = ""
    for start in range(0, len(votes), 7):
        kept = add_votes(kept, votes[start : start + 7])
    assert kept.split() == votes[-200:]


@given(
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    st.floats(0, 1),
    st.floats(0, 2),
    st.lists(st.sampled_from(["ru", "lu", "u-", "l-", "ld"]), max_size=200),
)
def test_no_disc_contradicts_both_eyes(
    disc: Place, certainty: float, contrast: float, votes: list[str]
) -> None:
    seen = measures(Eye.RIGHT, disc=disc, certainty=certainty, contrast=contrast)
    camera = learn(" ".join(votes))
    contradicted = [eye for eye in OTHER if contradicts(eye, None, seen, camera)]
    assert len(contradicted) <= 1


@pytest.mark.parametrize(
    ("votes", "phrase"),
    [
        ("", "not learnt yet (0 captures)"),
        ("ru " * 60, "normal (60 captures)"),
        ("ld r- " * 60, "upside_down (120 captures)"),
        ("ru lu " * 30, "unclear, because captures disagree"),
        ("ru ru ld " * 20, "normal, partly turned by 180 degrees (60 captures)"),
    ],
)
def test_the_phrase_says_what_was_learnt(votes: str, phrase: str) -> None:
    assert describe(learn(votes)) == phrase


def test_the_phrase_tells_of_a_turn() -> None:
    learnt = learn("ru " * 60 + "ld " * 20, Orientation.NORMAL)
    assert describe(learnt) == "TURNED from normal to upside_down"


def test_the_page_explains_every_orientation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "optic-disc.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    explained = {word.strip("` ") for row in rows for word in row.split(",")}
    assert set(Orientation) <= explained
