"""Compare the recorded eye with the side of the optic disc, and learn a camera's orientation; pure.

In a photograph centred on the macula, the optic disc lies towards the nose: on the right of a right
eye and on the left of a left eye, as the viewer sees it. The macula lies a little lower than the
disc. Some cameras deliver pictures that are mirrored, upside down or turned by 90 degrees.
Therefore each capture whose eye is known and whose disc was found with certainty is a vote for the
direction of nose and brow in the pictures of its camera.

The disc never sets or changes an eye. It can only contradict one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MIN_CERTAINTY = 0.12  # of the place of the optic disc
_MIN_OFFSET = 0.22  # radii from the centre: in fields centred on the disc, it has no side
_CLEAR_OFFSET = 0.32  # radii: nearer to the centre, a visible macula must show which field it is
_MIN_MACULA = 0.09  # contrast: in other fields, such as those nasal of the disc, it is lower
_MIN_RISE = 0.04  # radii from the height of the optic disc to that of the macula

_KEPT = 200  # votes of a camera
_BLOCK = 20  # the newest votes show the present orientation
_MIN_VOTES = 10  # for a direction
_MIN_BROWS = 5  # for one that is above or below the disc, if the usual one is the other
# votes: until then, eyes that are named wrongly are the likelier explanation of mirrored pictures
_MIN_MIRRORED = 30
_MIN_LASTING = 100  # votes: until then, a mirrored orientation may have been such a mistake
_MIN_CHANGED = 160  # votes for another orientation than the usual one, until it is the usual one
_CLEAR = 0.8  # share of the votes: the least majority
_MIN_UPSIDE_DOWN, _SOME = 5, 0.05  # least number and share of pictures turned by 180 degrees


class Direction(StrEnum):
    """A direction in a picture, as the viewer sees it."""

    RIGHT = "r"
    LEFT = "l"
    UP = "u"
    DOWN = "d"


_OPPOSITE = {
    Direction.RIGHT: Direction.LEFT,
    Direction.LEFT: Direction.RIGHT,
    Direction.UP: Direction.DOWN,
    Direction.DOWN: Direction.UP,
}


class Orientation(StrEnum):
    """How a camera's pictures are turned; docs/optic-disc.md explains each value."""

    NORMAL = "normal"
    FLIPPED = "flipped"  # top and bottom are exchanged
    MIRRORED = "mirrored"  # left and right are exchanged
    UPSIDE_DOWN = "upside_down"  # turned by 180 degrees
    TURNED_RIGHT = "turned_right"  # by 90 degrees, clockwise
    TURNED_LEFT = "turned_left"
    MIRRORED_TURNED_RIGHT = "mirrored_turned_right"
    MIRRORED_TURNED_LEFT = "mirrored_turned_left"


_ORIENTATIONS = {  # by the directions of nose and brow in a right eye
    "ru": Orientation.NORMAL,
    "rd": Orientation.FLIPPED,
    "lu": Orientation.MIRRORED,
    "ld": Orientation.UPSIDE_DOWN,
    "dr": Orientation.TURNED_RIGHT,
    "ul": Orientation.TURNED_LEFT,
    "ur": Orientation.MIRRORED_TURNED_RIGHT,
    "dl": Orientation.MIRRORED_TURNED_LEFT,
}
_NOSES = {orientation: Direction(code[0]) for code, orientation in _ORIENTATIONS.items()}
_NO_MACULA, _LEVEL = "-", "="  # instead of a brow: no macula is visible, or it is level


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the votes of a camera show.

    `orientation` is None if there are too few votes, or if they disagree (`is_unclear`). `former`
    is the camera's usual orientation if the newest votes are for another one. Some pictures of a
    camera that `is_partly_turned` differ from its orientation by 180 degrees. If
    `takes_other_fields` is true, captures without a visible macula may show other fields, in which
    the disc lies on another side, for example nasal ones.
    """

    orientation: Orientation | None = None
    former: Orientation | None = None
    votes: int = 0
    is_unclear: bool = False
    is_partly_turned: bool = False
    takes_other_fields: bool = False


def vote(eye: Eye, field: str | None, measures: Mapping[str, float]) -> str | None:
    """Return the directions of nose and brow that a capture shows, for a right eye.

    Instead of a brow, there is "-" if no macula is visible, and "=" if the macula is level with the
    disc. Return None if the eye is unknown, the disc was not found with certainty or the field is
    not centred on the macula.

    >>> disc = {"optic_disc_x": -0.6, "optic_disc_y": -0.1, "optic_disc_certainty": 0.5}
    >>> macula = {"macula_x": 0.1, "macula_y": 0.0, "macula_contrast": 0.2}
    >>> vote(Eye.LEFT, None, disc | macula), vote(Eye.RIGHT, None, disc | macula)
    ('ru', 'lu')
    """
    if eye is Eye.UNKNOWN or field not in {None, "macula"}:
        return None
    if measures.get("optic_disc_certainty", 0.0) < _MIN_CERTAINTY:
        return None
    x, y = measures["optic_disc_x"], measures["optic_disc_y"]
    shows_macula = measures["macula_contrast"] >= _MIN_MACULA
    if max(abs(x), abs(y)) < (_MIN_OFFSET if shows_macula else _CLEAR_OFFSET):
        return None
    if shows_macula:
        x, y = x - measures["macula_x"], y - measures["macula_y"]
    if abs(x) >= abs(y):
        nose = Direction.RIGHT if x > 0 else Direction.LEFT
        brow = Direction.UP if y < 0 else Direction.DOWN
    else:
        nose = Direction.DOWN if y > 0 else Direction.UP
        brow = Direction.LEFT if x < 0 else Direction.RIGHT
    if eye is Eye.LEFT:
        nose = _OPPOSITE[nose]
    if not shows_macula:
        return nose + _NO_MACULA
    return nose + (brow if min(abs(x), abs(y)) >= _MIN_RISE else _LEVEL)


def add_votes(history: str, votes: Sequence[str]) -> str:
    """Return a camera's history with newer votes at its end; the oldest ones are dropped.

    >>> add_votes("ru r-", ["lu"])
    'ru r- lu'
    """
    return " ".join([*history.split(), *votes][-_KEPT:])


def usual_orientation(history: str, before: Orientation | None) -> Orientation | None:
    """Return a camera's usual orientation, given the one before its newest votes.

    The first one takes ten votes, or a hundred if it is mirrored. Another one must have four fifths
    of the last 200 votes. It is None until it is known.

    >>> usual_orientation("ru " * 20, None), usual_orientation("lu " * 20, Orientation.NORMAL)
    (<Orientation.NORMAL: 'normal'>, <Orientation.NORMAL: 'normal'>)
    """
    votes = _telling(history.split())
    if before is None:
        newest = _orientation(votes[-_BLOCK:])
        if newest is not None and not _is_mirrored(_code(newest)):
            return newest
    orientation = _orientation(votes)
    if orientation is None or orientation is before:
        return before
    count = [vote[0] for vote in votes].count(_NOSES[orientation])
    return orientation if count >= (_MIN_CHANGED if before else _MIN_LASTING) else before


def learn(history: str, usual: Orientation | None = None) -> Learnt:
    """Return what a camera's history of votes and its usual orientation show."""
    votes = history.split()
    telling = _telling(votes)
    newest = telling[-_BLOCK:]
    present = _orientation(newest)
    if present and usual and _NOSES[present] is _NOSES[usual]:
        present = present if newest.count(_code(present)) >= _MIN_BROWS else usual
    is_turned = present is not None and usual is not None and present is not usual
    orientation = present or usual or _either_way_up(telling)
    is_partly_turned = False
    if orientation is not None and not is_turned:
        upside_down = telling.count(_turned_by_180_degrees(orientation))
        is_partly_turned = upside_down >= max(_MIN_UPSIDE_DOWN, _SOME * len(telling))
    return Learnt(
        orientation,
        former=usual if is_turned else None,
        votes=len(votes),
        is_unclear=orientation is None and len(telling) >= _BLOCK,
        is_partly_turned=is_partly_turned,
        takes_other_fields=_takes_other_fields(votes, orientation or Orientation.NORMAL),
    )


def describe(camera: Learnt) -> str:
    """Return a phrase that says how a camera's pictures are turned.

    >>> describe(Learnt(Orientation.MIRRORED, Orientation.NORMAL, votes=60))
    'TURNED from normal to mirrored'
    """
    if camera.is_unclear:
        return "unclear, because captures disagree"
    if camera.orientation is None:
        return f"not learnt yet ({camera.votes} captures)"
    if camera.former is not None:
        return f"TURNED from {camera.former} to {camera.orientation}"
    partly = ", partly turned by 180 degrees" if camera.is_partly_turned else ""
    return f"{camera.orientation}{partly} ({camera.votes} captures)"


def contradicts(eye: Eye, field: str | None, measures: Mapping[str, float], camera: Learnt) -> bool:
    """Return whether the optic disc clearly lies on the wrong side for the eye.

    Until a camera's orientation has been learnt, it is assumed to be normal; a mirrored orientation
    takes more votes, because swapped eyes look the same. If the camera has turned, its former
    orientation counts, so that its captures are doubted until the new one is the usual one. A
    picture that is turned by 180 degrees, so that the brow is on the other side, too, does not
    contradict its eye. If a camera delivers several of them, an eye is contradicted only where the
    macula shows which way up the picture is. If captures disagree otherwise, nothing is
    contradicted.
    """
    directions = vote(eye, field, measures)
    if directions is None or camera.is_unclear:
        return False
    if camera.takes_other_fields and directions[1] == _NO_MACULA:
        return False
    usual = camera.former or camera.orientation or Orientation.NORMAL
    if _is_mirrored(_code(usual)) and camera.votes < _MIN_MIRRORED:
        usual = Orientation.NORMAL
    if camera.is_partly_turned:
        is_clear = directions in _ORIENTATIONS
        return is_clear and _is_mirrored(directions) != _is_mirrored(_code(usual))
    is_opposite = directions[0] == _OPPOSITE[_NOSES[usual]]
    return is_opposite and directions != _turned_by_180_degrees(usual)


def _telling(votes: Sequence[str]) -> Sequence[str]:
    """Return the votes that show the orientation best: those with a visible macula, if any do."""
    with_macula = [vote for vote in votes if vote[1] != _NO_MACULA]
    return with_macula if len(with_macula) >= _MIN_VOTES else votes


def _code(orientation: Orientation) -> str:
    (code,) = [code for code, known in _ORIENTATIONS.items() if known is orientation]
    return code


def _turned_by_180_degrees(orientation: Orientation) -> str:
    return "".join(_OPPOSITE[Direction(letter)] for letter in _code(orientation))


def _is_mirrored(code: str) -> bool:
    """Return whether an orientation is mirrored, and not only turned."""
    return code not in {"ru", "ld", "dr", "ul"}


def _orientation(votes: Sequence[str]) -> Orientation | None:
    """Return the orientation for which most votes are, or None without a clear majority."""
    if not votes:
        return None
    nose, count = Counter(vote[0] for vote in votes).most_common(1)[0]
    if count < max(_MIN_VOTES, _CLEAR * len(votes)):
        return None
    codes = [code for code in _ORIENTATIONS if code[0] == nose]
    return _ORIENTATIONS[max(codes, key=votes.count)]


def _either_way_up(votes: Sequence[str]) -> Orientation | None:
    """Return the more frequent of two orientations that differ by 180 degrees.

    Return None if there is no clear majority for the two.
    """
    codes = [vote for vote in votes if vote in _ORIENTATIONS]
    if len(votes) < _BLOCK or not codes:
        return None
    orientation = _ORIENTATIONS[Counter(codes).most_common(1)[0][0]]
    both = {_code(orientation), _turned_by_180_degrees(orientation)}
    count = len([code for code in codes if code in both])
    return orientation if count >= max(_MIN_VOTES, _CLEAR * len(codes)) else None


def _takes_other_fields(votes: Sequence[str], orientation: Orientation) -> bool:
    """Return whether captures without a visible macula often show the disc on another side."""
    noses = [vote[0] for vote in votes if vote[1] == _NO_MACULA]
    return len(noses) >= _MIN_VOTES and noses.count(_NOSES[orientation]) < _CLEAR * len(noses)
