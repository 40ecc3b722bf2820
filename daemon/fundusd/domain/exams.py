"""Terms of exams: the fields that a camera photographs, and doubts about the day of a visit."""

from __future__ import annotations

from enum import StrEnum

# a field in DICOM that is centred neither on the macula nor on the optic disc
OTHER_FIELD = "other"


class FieldProtocol(StrEnum):
    """Which fields of an eye a camera photographs, as its settings say."""

    ANY = "any"  # not known, so that no photograph makes up for another one
    ONE = "one"  # every photograph shows the macula
    TWO = "two"  # the macula and the optic disc, each of them expected


class DayDoubt(StrEnum):
    """Why the day of an exam may not be the day on which the person was photographed."""

    NONE = ""
    RECEIVED = "received"  # no photograph has this date: it is mostly the day of reception
    CLOCK_SKEW = "clock_skew"  # the camera's clock was ahead, or late photographs came from it

    @property
    def wording(self) -> str:
        """Return the doubt in the words that staff read, or "" if there is none."""
        return _WORDING[self]


_WORDING = {
    DayDoubt.NONE: "",
    DayDoubt.RECEIVED: "in doubt: no photograph has this date",
    DayDoubt.CLOCK_SKEW: "in doubt: the camera's clock may be wrong",
}
