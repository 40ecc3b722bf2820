"""Decide to which visit of a person a photograph belongs, and on which day that was; pure.

A visit is one day of one person and at most one DICOM study. Photographs of different days or of
different studies never belong to one visit, unless a person joins them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.exams import DayDoubt

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fundusd.clinical.shot import Shot

_DAY = timedelta(days=1)


# -- the day of a visit


def day_of_visit(acquired_day: date | None, received_day: date) -> date:
    """Return the day of a photograph's visit: the day on which it was taken, however long ago.

    If this day is not known, or if it lies in the future, return the day of reception.

    >>> day_of_visit(date(2019, 3, 4), date(2026, 6, 7))
    datetime.date(2019, 3, 4)
    >>> day_of_visit(date(2031, 3, 4), date(2026, 6, 7))
    datetime.date(2026, 6, 7)
    """
    if acquired_day is None or acquired_day - received_day > _DAY:
        return received_day
    return acquired_day


def doubt_of_day(doubts: Collection[DayDoubt]) -> DayDoubt:
    """Return the doubt about the day of a visit, given the doubts about its photographs' days.

    A single photograph whose day is certain makes the day of the visit certain.
    """
    for doubt in (DayDoubt.NONE, DayDoubt.CLOCK_SKEW, DayDoubt.RECEIVED):
        if doubt in doubts:
            return doubt
    return DayDoubt.NONE


def with_uncertain_days(shots: Sequence[Shot], day: date) -> list[Shot]:
    """Mark the files of a visit that name another day than the one that another file makes certain.

    Their clock was reset or is ahead, so the day of their reception was assumed: they may be old,
    and must not make up for a photograph that is missing. What a person has put into the visit
    belongs to it.
    """
    is_certain = any(_makes_certain(shot, day) for shot in shots)
    marked: list[Shot] = []
    for shot in shots:
        is_of_other_day = shot.acquired_day not in {None, day} and not shot.is_placed
        is_uncertain = shot.is_of_uncertain_day or (is_certain and is_of_other_day)
        marked.append(replace(shot, is_of_uncertain_day=is_uncertain))
    return marked


def _makes_certain(shot: Shot, day: date) -> bool:
    """Return whether a file shows that the person was photographed on the day of the visit.

    It still does if it was excluded or overwritten, unless it is of another person.
    """
    is_clock_right = CaptureWarning.CLOCK_SKEW not in shot.warnings
    return shot.acquired_day == day and is_clock_right and not shot.is_of_other_patient


# -- which visit


@dataclass(slots=True)
class Visit:
    """A visit of a known patient on one day; `study_uid` is filled when its DICOM study comes.

    `final_id` is the exam that its photographs belong to, which is another one if a person has
    joined the two. `exam_id` is None until the exam is stored.
    """

    key: str
    study_uid: str | None = None
    exam_id: int | None = None
    final_id: int | None = None
    is_arranged: bool = False  # a person has joined it with another or put photographs into it


def of_study(visits: Sequence[Visit], study_uid: str) -> Visit | None:
    """Return the visit that a photograph of a DICOM study belongs to, or None for a new visit.

    `visits` are those of the same person and day. The first study of a day belongs to the visit of
    the photographs without a study; any further study is a visit of its own.
    """
    for visit in visits:
        if visit.study_uid == study_uid:
            return visit
    if len(visits) == 1 and visits[0].study_uid is None and not visits[0].is_arranged:
        return visits[0]
    return None


def without_study(visits: Sequence[Visit], twin: Visit | None) -> Visit | None:
    """Return the visit that a photograph without a study belongs to, or None for a new visit.

    `visits` are those of the same person and day. `twin` is the visit of another file of the same
    photograph, if there is one. If there are several studies, the photograph joins none of them.
    """
    if twin is not None:
        return twin
    exams: dict[int | str, Visit] = {}
    for visit in visits:
        if visit.study_uid is None:
            return visit
        exams[visit.final_id or visit.key] = visit
    if len(exams) == 1:
        return visits[0]
    return None
