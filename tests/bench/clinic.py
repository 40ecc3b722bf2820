"""A clinic's year by a seed: who comes when, what the cameras make of it and what the model says; no database."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye, EyeSource, Reason
from fundusd.domain.decoding import MediaType
from fundusd.domain.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMERAS = ("cr2-room1", "cr2-room2", "van", "visucam")
EXPECTED = {"visucam": "disc macula"}
FIRST_DAY = date(2025, 11, 3)  # a Monday
WEEKS = 52
_VISITED = (0.35, 0.3, 0.2, 0.15)  # shares of the cameras
_GRADES = (0.68, 0.12, 0.13, 0.04, 0.03)
_UNGRADABLE = {"cr2-room1": 0.12, "cr2-room2": 0.15, "van": 0.26, "visucam": 0.1}
_LENS_DIRTY = range(20, 30)  # weeks in which the lens of cr2-room2 is not clean
_RETURNING, _RETAKEN, _REFUSED, _FAILED, _OVERWRITTEN, _COPIED = 0.3, 0.55, 0.01, 0.004, 0.01, 0.003
_WRONG = 0.1  # of the model's grades are one off


@dataclass(frozen=True, slots=True)
class Photograph:
    """One file that a camera wrote, and what became of it."""

    number: int
    camera_id: str
    path: str
    revision: int
    is_superseded: bool
    is_copy: bool  # its bytes are those of the photograph before it
    patient: str | None
    eye: Eye
    eye_source: EyeSource
    field: str | None
    received_at: datetime
    acquired_at: datetime | None
    turnaround_ms: int
    release: int  # 1, 2, 3
    state: JobState
    reason: Reason | None
    logits: tuple[float, ...]

    @property
    def media_type(self) -> MediaType:
        """Tell what the bytes are."""
        return MediaType.DICOM if self.path.endswith(".dcm") else MediaType.JPEG


class _Patients:
    """Everybody who ever came: when last, and how bad each eye is."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._known: list[tuple[int, dict[Eye, int]]] = []  # day of the last visit, grades

    def next(self, day: int) -> tuple[str, dict[Eye, int]]:
        if self._known and self._chance.random() < _RETURNING:
            number = self._chance.randrange(len(self._known))
            last, grades = self._known[number]
            if day - last >= 60:
                worse = {
                    eye: min(4, grade + (self._chance.random() < 0.12))
                    for eye, grade in grades.items()
                }
                self._known[number] = (day, worse)
                return f"PHANTOM-{number:06}", worse
        grades = {eye: self._chance.choices(range(5), _GRADES)[0] for eye in (Eye.RIGHT, Eye.LEFT)}
        self._known.append((day, grades))
        return f"PHANTOM-{len(self._known) - 1:06}", grades


def photographs(captures: int, seed: int) -> Iterator[Photograph]:
    """Yield so many photographs in the order in which they come in."""
    chance = random.Random(seed)
    files = itertools.islice(_all_files(chance, captures), captures)
    waiting = max(4, captures // 2000)
    for number, one in enumerate(files, start=1):
        left = captures - number
        state = one.state if left >= waiting else JobState.QUEUED if left >= 2 else JobState.RUNNING
        yield replace(
            one, number=number, state=state, reason=one.reason if state is one.state else None
        )


def _all_files(chance: random.Random, captures: int) -> Iterator[Photograph]:
    patients = _Patients(chance)
    visits = captures / 4.23  # about as many as there will be
    for visit in itertools.count():
        day = min(int(visit / visits * WEEKS * 5), WEEKS * 5 - 1)  # five days a week
        for one in _visit(chance, patients, visit, day):
            yield from _files(chance, one)


def _visit(
    chance: random.Random, patients: _Patients, visit: int, day: int
) -> Iterator[Photograph]:
    patient, grades = patients.next(day)
    camera = chance.choices(CAMERAS, _VISITED)[0]
    at = datetime.combine(
        FIRST_DAY + timedelta(days=day // 5 * 7 + day % 5), datetime.min.time(), UTC
    )
    at += timedelta(hours=8, seconds=chance.randrange(8 * 3600))
    is_known = chance.random() > 0.02
    eyes = [Eye.RIGHT, Eye.LEFT] if chance.random() > 0.04 else [Eye.RIGHT]
    for eye in eyes:
        for field in ("macula", "disc"):
            if field == "disc" and chance.random() < 0.03:
                continue
            for take in (1, 2):
                at += timedelta(seconds=chance.randrange(10, 40))
                one = _shot(chance, camera, at, day, grades[eye])
                name = f"{patient if is_known else 'X'}/{visit:06}_{eye}_{field}_{take}"
                suffix = ".dcm" if camera == "visucam" else ".jpg"
                is_conflict = chance.random() < 0.002
                yield replace(
                    one,
                    path=name + suffix,
                    patient=patient if is_known else None,
                    eye=Eye.UNKNOWN if is_conflict else eye,
                    eye_source=EyeSource.CONFLICT if is_conflict else EyeSource.NAME,
                    field=field,
                    acquired_at=at - timedelta(seconds=20) if camera == "visucam" else None,
                )
                if (
                    one.reason not in {Reason.TOO_DARK, Reason.TOO_BRIGHT}
                    or chance.random() > _RETAKEN
                ):
                    break


def _shot(chance: random.Random, camera: str, at: datetime, day: int, grade: int) -> Photograph:
    """Take a photograph of an eye with a grade; the model is wrong now and then."""
    week = day // 5
    ungradable = _UNGRADABLE[camera]
    if camera == "cr2-room2" and week in _LENS_DIRTY:
        ungradable += 0.03 * (week - _LENS_DIRTY.start + 1)
    seen = grade if chance.random() > _WRONG else min(4, max(0, grade + chance.choice((-1, 1))))
    release = 1 + (week >= 18) + (week >= 36)
    softness = 1.0 if release < 3 else 0.8
    logits = tuple(
        softness * (3.0 - 1.2 * abs(seen - one) + chance.gauss(0, 0.25)) for one in range(5)
    )
    reason, state, number = None, JobState.SUCCEEDED, chance.random()
    if number < _FAILED:
        reason, state = chance.choice((Reason.TRUNCATED, Reason.TIMEOUT)), JobState.FAILED
    elif number < _FAILED + _REFUSED:
        reason = chance.choice((Reason.NOT_RETINA, Reason.REDFREE_OR_FA))
    elif number < _FAILED + _REFUSED + ungradable:
        reason = chance.choices((Reason.TOO_DARK, Reason.TOO_BRIGHT, Reason.SMALL), (6, 2, 1))[0]
    return Photograph(
        number=0, camera_id=camera, path="", revision=1, is_superseded=False, is_copy=False, patient=None,
        eye=Eye.UNKNOWN, eye_source=EyeSource.NONE, field=None, received_at=at, acquired_at=None,
        turnaround_ms=int(chance.lognormvariate(8.6, 0.5)), release=release, state=state, reason=reason,
        logits=logits,
    )  # fmt: skip


def _files(chance: random.Random, one: Photograph) -> Iterator[Photograph]:
    """Yield the files of a photograph: now and then it is overwritten by a better one, or exported twice."""
    number = chance.random()
    if number < _OVERWRITTEN:
        yield replace(one, is_superseded=True)
        yield replace(
            one, revision=2, logits=one.logits[::-1] if number < 0.1 * _OVERWRITTEN else one.logits
        )
        return
    yield one
    if number > 1 - _COPIED:
        yield replace(one, path=f"copies/{one.path}", is_copy=True)
