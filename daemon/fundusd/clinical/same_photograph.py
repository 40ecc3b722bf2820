"""Find the files of one photograph; pure.

Files with the same bytes are one photograph, and so are files that were at the same path, except
for the suffix of an image, at the same time. A file that has since been renamed or overwritten was
there as well.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STILL = sys.maxsize


class Place(NamedTuple):
    """Where a file is or was: from its capture until, but without, the capture that ended it.

    Captures are numbered in the order in which their files came.
    """

    camera_id: str
    stem: str  # the path without the suffix
    since: int
    until: int = STILL

    def is_shared_with(self, others: Iterable[Place]) -> bool:
        """Return whether a file at one of the other places was here at the same time."""
        for other in others:
            is_same_time = self.since < other.until and other.since < self.until
            if self[:2] == other[:2] and is_same_time:
                return True
        return False


def photographs(digests: Sequence[str], places: Sequence[Sequence[Place]]) -> list[list[int]]:
    """Return the files of each photograph, by position, given their digests and places.

    >>> photographs(["a", "b", "a"], [[Place("c", "1", 1)], [Place("c", "1", 2)], []])
    [[0, 1, 2]]
    >>> photographs(["a", "b"], [[Place("c", "1", 1, 2)], [Place("c", "1", 2)]])
    [[0], [1]]
    """
    group_of = list(range(len(digests)))
    first: dict[str, int] = {}
    for number, digest in enumerate(digests):
        _unite(group_of, first.setdefault(digest, number), number)
    ordered = sorted(
        (place.since, number, place) for number, of_file in enumerate(places) for place in of_file
    )
    last: dict[tuple[str, str], tuple[int, int]] = {}  # a file, and the end of the latest place
    for since, number, place in ordered:
        beside, until = last.get(place[:2], (number, 0))
        if since < until:
            _unite(group_of, beside, number)
        last[place[:2]] = (number, max(place.until, until))
    groups: dict[int, list[int]] = {}
    for number in range(len(digests)):
        groups.setdefault(_group(group_of, number), []).append(number)
    return list(groups.values())


def _group(group_of: list[int], number: int) -> int:
    while group_of[number] != number:
        number = group_of[number]
    return number


def _unite(group_of: list[int], first: int, second: int) -> None:
    first, second = _group(group_of, first), _group(group_of, second)
    group_of[max(first, second)] = min(first, second)
