"""Read eyes, fields, patients, dates and times from the text that cameras write; pure."""

from __future__ import annotations

import re
from datetime import date, time
from typing import TYPE_CHECKING

from fundusd.clinical.laterality import eye_of_word
from fundusd.clinical.path_tokens import UNDECODED
from fundusd.clinical.pseudonyms import is_nobody
from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.clinical.eye_languages import LanguageName

_LONGEST_PATIENT = 64  # as in DICOM
_BOTH = frozenset({"B", "OU", "BOTH"})
_FIELDS: Mapping[str, str] = {
    **dict.fromkeys(("MACULA", "MAC", "FOVEA"), "macula"),
    **dict.fromkeys(("DISC", "DISK", "ONH", "PAPILLA"), "disc"),
}
_DATES = (
    re.compile(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"),
    re.compile(r"(?P<year>\d{4})[-._](?P<month>\d{1,2})[-._](?P<day>\d{1,2})"),
    re.compile(r"(?P<day>\d{1,2})[-._](?P<month>\d{1,2})[-._](?P<year>\d{4})"),
)
# an earlier year is probably a birthday: cameras did not export digital photographs then
_YEARS = range(1990, 2100)
_TIME = re.compile(
    r"(?P<hour>\d{1,2})[-:._]?(?P<minute>\d\d)(?:[-:._]?(?P<second>\d\d))?(?:[.]\d+)?"
    r"(?:[-_. ]?(?P<half>[AP]M))?",
    re.IGNORECASE,
)


def read_eyes(word: str, languages: tuple[LanguageName, ...] = ()) -> frozenset[Eye]:
    """Return the eyes that a word stands for: one, both or none.

    Words of all languages count, abbreviations only those of `languages`.

    >>> read_eyes("OS"), len(read_eyes("both")), len(read_eyes("photo"))
    (frozenset({<Eye.LEFT: 'L'>}), 2, 0)
    """
    if word.upper() in _BOTH:
        return frozenset({Eye.RIGHT, Eye.LEFT})
    eye = eye_of_word(word, languages)
    if eye is None:
        return frozenset()
    return frozenset({eye})


def read_field(word: str) -> str | None:
    """Return the field that a word stands for, macula or disc, or None for any other word."""
    return _FIELDS.get(word.upper())


def read_patient(text: str) -> str | None:
    """Return a patient's identifier, or None if it is unreadable, too long or a placeholder."""
    if not text.isprintable() or UNDECODED in text or is_nobody(text):
        return None
    if len(text) > _LONGEST_PATIENT:
        return None
    return text


def read_date(text: str) -> date | None:
    """Return the date that `text` gives, with the year first or last.

    Return None if the date is invalid or implausible.
    """
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match is None or int(match["year"]) not in _YEARS:
            continue
        try:
            return date(int(match["year"]), int(match["month"]), int(match["day"]))
        except ValueError:
            return None
    return None


def read_time(text: str) -> time | None:
    """Return the time of day that `text` gives, on a 24-hour or 12-hour clock.

    Return None if the time is invalid.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:  # noqa: PLR2004  hours of a 12-hour clock
            return None
        hour %= 12
        if match["half"].upper() == "PM":
            hour += 12
    try:
        return time(hour, int(match["minute"]), int(match["second"] or 0))
    except ValueError:
        return None
