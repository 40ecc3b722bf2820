"""A clinic's year from a seed: visits, photographs and what the model answers; no database."""

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
_WRONG = 0.1  # share of the model's grades that are one step off


@dataclass(frozen=True, slots=True)
class Photograph:
    """One file that a camera wrote, and its result."""

    camera_id: str
    received_at: datetime
    turnaround_ms: int
    release: int  # 1, 2, 3
    state: JobState
    reason: Reason | None
    logits: tuple[float, ...]
    number: int = 0
    path: str = ""
    revision: int = 1
    is_superseded: bool = False
    is_copy: bool = False  # has the bytes of the photograph before it
    patient: str | None = None
    eye: Eye = Eye.UNKNOWN
    eye_source: EyeSource = EyeSource.NONE
    field: str | None = None
    acquired_at: datetime | None = None

    @property
    def media_type(self) -> MediaType:
        """Return the type of the bytes."""
        if self.path.endswith(".dcm"):
            return MediaType.DICOM
        return MediaType.JPEG


class _Patients:
    """All patients so far: the day of the last visit and the grade of each eye."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._known: list[tuple[int, dict[Eye, int]]] = []  # day of the last visit, grades

    def next(self, day: int) -> tuple[str, dict[Eye, int]]:
        if self._known and self._chance.random() < _RETURNING:
            number = self._chance.randrange(len(self._known))
            last, grades = self._known[number]
            if day - last >= 60:
                worse = dict(grades)
                for eye, grade in grades.items():
                    worse[eye] = min(4, grade + (self._chance.random() < 0.12))
                self._known[number] = (day, worse)
                return f"PHANTOM-{number:06}", worse
        grades = {eye: self._chance.choices(range(5), _GRADES)[0] for eye in (Eye.RIGHT, Eye.LEFT)}
        self._known.append((day, grades))
        return f"PHANTOM-{len(self._known) - 1:06}", grades


def photographs(captures: int, seed: int) -> Iterator[Photograph]:
    """Yield this many photographs in the order of their arrival; the last ones still wait."""
    chance = random.Random(seed)
    files = itertools.islice(_all_files(chance, captures), captures)
    waiting = max(4, captures // 2000)
    for number, photograph in enumerate(files, start=1):
        left = captures - number
        if left >= waiting:
            yield replace(photograph, number=number)
        elif left >= 2:
            yield replace(photograph, number=number, state=JobState.QUEUED, reason=None)
        else:
            yield replace(photograph, number=number, state=JobState.RUNNING, reason=None)


def _all_files(chance: random.Random, captures: int) -> Iterator[Photograph]:
    patients = _Patients(chance)
    visits = captures / 4.23  # about as many as there will be
    for visit in itertools.count():
        day = min(int(visit / visits * WEEKS * 5), WEEKS * 5 - 1)  # five days a week
        for photograph in _visit(chance, patients, visit, day):
            yield from _files(chance, photograph)


def _visit(
    chance: random.Random, patients: _Patients, visit: int, day: int
) -> Iterator[Photograph]:
    patient, grades = patients.next(day)
    camera = chance.choices(CAMERAS, _VISITED)[0]
    date_of_visit = FIRST_DAY + timedelta(days=day // 5 * 7 + day % 5)
    at = datetime.combine(date_of_visit, datetime.min.time(), UTC)
    at += timedelta(hours=8, seconds=chance.randrange(8 * 3600))
    is_known = chance.random() > 0.02
    folder = f"{patient}/{visit:06}" if is_known else f"X/{visit:06}"
    eyes = [Eye.RIGHT, Eye.LEFT]
    if chance.random() <= 0.04:
        eyes = [Eye.RIGHT]
    for eye in eyes:
        for field in ("macula", "disc"):
            if field == "disc" and chance.random() < 0.03:
                continue
            for take in (1, 2):
                at += timedelta(seconds=chance.randrange(10, 40))
                shot = _shot(chance, camera, at, day, grades[eye])
                shot = replace(shot, path=f"{folder}_{eye}_{field}_{take}", field=field)
                shot = _attributed(chance, shot, eye)
                if is_known:
                    shot = replace(shot, patient=patient)
                yield shot
                is_retaken = shot.reason in {Reason.TOO_DARK, Reason.TOO_BRIGHT}
                if not is_retaken or chance.random() > _RETAKEN:
                    break


def _attributed(chance: random.Random, shot: Photograph, eye: Eye) -> Photograph:
    """Add what the camera writes: the kind of file, the time, and the eye, rarely a conflict."""
    if chance.random() < 0.002:
        shot = replace(shot, eye=Eye.UNKNOWN, eye_source=EyeSource.CONFLICT)
    else:
        shot = replace(shot, eye=eye, eye_source=EyeSource.NAME)
    if shot.camera_id != "visucam":
        return replace(shot, path=f"{shot.path}.jpg")
    acquired_at = shot.received_at - timedelta(seconds=20)
    return replace(shot, path=f"{shot.path}.dcm", acquired_at=acquired_at)


def _shot(chance: random.Random, camera: str, at: datetime, day: int, grade: int) -> Photograph:
    """Take a photograph of an eye with a grade, which the model sometimes gets wrong."""
    week = day // 5
    ungradable = _UNGRADABLE[camera]
    if camera == "cr2-room2" and week in _LENS_DIRTY:
        ungradable += 0.03 * (week - _LENS_DIRTY.start + 1)
    seen = grade
    if chance.random() <= _WRONG:
        seen = min(4, max(0, grade + chance.choice((-1, 1))))
    release = 1 + (week >= 18) + (week >= 36)
    softness = 1.0 if release < 3 else 0.8
    logits = []
    for column in range(5):
        logits.append(softness * (3.0 - 1.2 * abs(seen - column) + chance.gauss(0, 0.25)))
    reason, state, number = None, JobState.SUCCEEDED, chance.random()
    if number < _FAILED:
        reason, state = chance.choice((Reason.TRUNCATED, Reason.TIMEOUT)), JobState.FAILED
    elif number < _FAILED + _REFUSED:
        reason = chance.choice((Reason.NOT_RETINA, Reason.REDFREE_OR_FA))
    elif number < _FAILED + _REFUSED + ungradable:
        reason = chance.choices((Reason.TOO_DARK, Reason.TOO_BRIGHT, Reason.SMALL), (6, 2, 1))[0]
    return Photograph(
        camera_id=camera,
        received_at=at,
        turnaround_ms=int(chance.lognormvariate(8.6, 0.5)),
        release=release,
        state=state,
        reason=reason,
        logits=tuple(logits),
    )


def _files(chance: random.Random, photograph: Photograph) -> Iterator[Photograph]:
    """Yield the files of a photograph: few are overwritten by a better one, or exported twice."""
    number = chance.random()
    if number < _OVERWRITTEN:
        yield replace(photograph, is_superseded=True)
        better = replace(photograph, revision=2)
        if number < 0.1 * _OVERWRITTEN:
            better = replace(better, logits=photograph.logits[::-1])
        yield better
        return
    yield photograph
    if number > 1 - _COPIED:
        yield replace(photograph, path=f"copies/{photograph.path}", is_copy=True)
