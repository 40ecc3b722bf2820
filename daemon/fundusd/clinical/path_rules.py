"""What a capture's path tells: eye, field, patient, date, time. Sources that disagree tell nothing; pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, TypeVar

from fundusd.clinical.camera_conventions import CONVENTIONS
from fundusd.clinical.laterality import UNDECODED, eye_from_words, eye_of_word, likely_eye, parts_of
from fundusd.clinical.pseudonyms import is_nobody
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fundusd.clinical.camera_conventions import ConventionName

_T = TypeVar("_T")

GROUPS = (
    "patient",
    "person",
    "eye",
    "field",
    "date",
    "time",
)  # a person's name is read by nobody, eyes least of all

# a word that is no sure sign of an eye, but contradicts the other one
LIKELY = {Eye.RIGHT: CaptureWarning.EYE_MAYBE_RIGHT, Eye.LEFT: CaptureWarning.EYE_MAYBE_LEFT}

_UNREADABLE = {
    "eye": CaptureWarning.EYE_UNREADABLE,
    "patient": CaptureWarning.PATIENT_UNREADABLE,
    "date": CaptureWarning.DATE_UNREADABLE,
    "time": CaptureWarning.TIME_UNREADABLE,
}
_CONFLICT = {
    "eye": CaptureWarning.EYE_CONFLICT,
    "patient": CaptureWarning.PATIENT_CONFLICT,
    "date": CaptureWarning.DATE_CONFLICT,
    "time": CaptureWarning.TIME_CONFLICT,
}
_LONGEST_PATH = 255  # characters that a pattern is tried on: it costs their third power at worst
_LONGEST_PATIENT = 64  # as in DICOM
_MOST_OPEN = 3
_BOTH = frozenset({"B", "OU", "BOTH"})
_FIELDS = {
    **dict.fromkeys(("MACULA", "MAC", "FOVEA"), "macula"),
    **dict.fromkeys(("DISC", "DISK", "ONH", "PAPILLA"), "disc"),
}
_DATES = (
    re.compile(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"),
    re.compile(r"(?P<year>\d{4})[-._](?P<month>\d{1,2})[-._](?P<day>\d{1,2})"),
    re.compile(r"(?P<day>\d{1,2})[-._](?P<month>\d{1,2})[-._](?P<year>\d{4})"),
)
_YEARS = range(
    1990, 2100
)  # before that nobody exported digital photographs: more likely a birthday
_TIME = re.compile(
    r"(?P<hour>\d{1,2})[-:._]?(?P<minute>\d\d)(?:[-:._]?(?P<second>\d\d))?(?:[.]\d+)?(?:[-_. ]?(?P<half>[AP]M))?",
    re.IGNORECASE,
)

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_OPEN = re.compile(
    r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\]*+{}()|?])(?:[*+]|\{\d*,\})(?=[?+]?\)*(.?))",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Named:
    """What a path tells of its capture, or a row about it. `warnings` holds short codes, never parts of the path."""

    eye: Eye = Eye.UNKNOWN
    eye_source: EyeSource = EyeSource.NONE
    field: str | None = None
    patient: str | None = None
    date: date | None = None
    time: time | None = None
    warnings: tuple[str, ...] = ()

    @property
    def acquired_at(self) -> datetime | None:
        """Return date and time by the camera's clock, without a zone; None where either is missing."""
        if self.date is None or self.time is None:
            return None
        return datetime.combine(self.date, self.time)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression over the end of a path: the name, and as many folders as it has slashes."""

    regex: re.Pattern[str]
    folders: int

    def match(self, parts: Sequence[str]) -> re.Match[str] | None:
        """Match the whole end of a path, the longest that the pattern may span first."""
        for count in range(min(self.folders + 1, len(parts)), 0, -1):
            end = "/".join(parts[-count:])
            if len(end) <= _LONGEST_PATH and (found := self.regex.fullmatch(end)):
                return found
        return None


def compiled(text: str) -> Pattern:
    """Compile an operator's pattern; raises ValueError that says what is wrong with it.

    >>> compiled("(?P<patient>[^_]+)_(?P<eye>OD|OS)").folders
    0
    """
    try:
        pattern = _pattern(text, 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression ({error})") from None
    if not pattern.regex.groupindex or set(pattern.regex.groupindex) - set(GROUPS):
        raise ValueError(
            f"must have named groups, such as (?P<eye>OD|OS), and no others than {', '.join(GROUPS)}"
        )
    if re.search(r"\)(?:[*+]|\{)", _bare(text)):
        raise ValueError(
            "must not repeat a group, as in (…)+: an odd name could keep it busy for years"
        )
    if _open_repeats(text) > _MOST_OPEN:
        raise ValueError(
            f"has more than {_MOST_OPEN} repeats without end: write [^_]+_ for what ends at the next _, or {{1,20}}"
        )
    return pattern


def _pattern(text: str, flags: int) -> Pattern:
    return Pattern(re.compile(text, flags), _bare(text).count("/"))


def _bare(text: str) -> str:
    """Leave of an expression what is neither escaped nor in a class."""
    return _CLASS.sub("x", _ESCAPE.sub("x", text.replace(r"\/", "/")))


def _open_repeats(text: str) -> int:
    """Count repeats without end, but those of digits, and those that the next character is sure to end."""
    return sum(
        atom != r"\d" and not (atom.startswith("[^") and after and after in atom[2:])
        for atom, after in _OPEN.findall(text)
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Naming:
    """How one camera names its captures."""

    patterns: tuple[Pattern, ...] = ()
    words: bool = True  # read the eye from whole words of the name, too

    def read(self, path_text: str) -> Named:
        """Read a path relative to the inbox; a path that no pattern fits tells nothing at all.

        >>> named = Naming.of("eyepacs").read("13_left.jpeg")
        >>> named.patient, str(named.eye), str(named.eye_source)
        ('13', 'L', 'name')
        """
        parts = parts_of(path_text)
        found = [one for pattern in self.patterns if (one := pattern.match(parts))]
        if self.patterns and not found:
            return Named(warnings=(CaptureWarning.NAME_UNMATCHED,))
        warnings: list[str] = []
        eye, eye_source = self._eye(parts, found, warnings)
        return Named(
            eye,
            eye_source,
            field=_agreed({_FIELDS.get(value.upper()) for value in _values(found, "field")}),
            patient=_told(
                "patient", [_patient(value) for value in _values(found, "patient")], warnings
            ),
            date=_told("date", [_date(value) for value in _values(found, "date")], warnings),
            time=_told("time", [_time(value) for value in _values(found, "time")], warnings),
            warnings=tuple(warnings),
        )

    def _eye(
        self, parts: Sequence[str], found: Sequence[re.Match[str]], warnings: list[str]
    ) -> tuple[Eye, EyeSource]:
        told = [_eyes(match) for match in found if _values([match], "eye")]
        if not all(told):
            warnings.append(CaptureWarning.EYE_UNREADABLE)
            return Eye.UNKNOWN, EyeSource.NONE
        eyes = set().union(*told)
        if self.words:
            name = _without_persons(parts[-1], found)
            eye, source = eye_from_words([*parts[:-1], name])
            eyes |= {EyeSource.NAME: {eye}, EyeSource.CONFLICT: {Eye.RIGHT, Eye.LEFT}}.get(
                source, set()
            )
            likely = likely_eye(name)
            if likely and eyes:
                eyes.add(likely)
            elif likely:
                warnings.append(LIKELY[likely])
        if len(eyes) > 1:
            warnings.append(CaptureWarning.EYE_CONFLICT)
            return Eye.UNKNOWN, EyeSource.CONFLICT
        return (eyes.pop(), EyeSource.NAME) if eyes else (Eye.UNKNOWN, EyeSource.NONE)

    @classmethod
    def of(cls, convention: ConventionName, pattern: str = "") -> Naming:
        """Build the naming of a convention and an operator's own pattern; raises ValueError."""
        chosen = CONVENTIONS[convention]
        own = [compiled(pattern)] if pattern else []
        presets = [_pattern(one, re.IGNORECASE | re.ASCII) for one in chosen.patterns]
        return cls((*own, *presets), chosen.words)


def of_row(row: Mapping[str, str]) -> Named:
    """Read what the row of a camera's own database says, as text; blank values say nothing.

    >>> of_row({"eye": "OS", "patient": "17"}).eye_source
    <EyeSource.LOOKUP: 'lookup'>
    """
    warnings: list[str] = []

    def said(what: str, read: Callable[[str], _T | None]) -> _T | None:
        return _told(what, [read(row[what])] if row.get(what) else [], warnings)

    eyes = said("eye", lambda word: frozenset(_eyes_of(word)) or None) or frozenset()
    if len(eyes) > 1:
        warnings.append(CaptureWarning.EYE_BOTH)
    return Named(
        min(eyes) if len(eyes) == 1 else Eye.UNKNOWN,
        EyeSource.LOOKUP if eyes else EyeSource.NONE,
        field=_FIELDS.get(row.get("field", "").upper()),
        patient=said("patient", _patient),
        date=said("date", _date),
        time=said("time", _time),
        warnings=tuple(warnings),
    )


def contradicted(eye: Eye, warnings: Iterable[str]) -> bool:
    """Tell whether a name says that the other eye than this one may well be meant."""
    return eye is not Eye.UNKNOWN and any(
        code in warnings for one, code in LIKELY.items() if one is not eye
    )


def without_likely(eye: Eye, warnings: Iterable[str]) -> tuple[str, ...]:
    """Return warnings, each once, without those about an eye that is known now."""
    settled = set() if eye is Eye.UNKNOWN else set(LIKELY.values())
    return tuple(code for code in dict.fromkeys(warnings) if code not in settled)


def _values(found: Iterable[re.Match[str]], group: str) -> list[str]:
    return [
        match[group].strip() for match in found if group in match.re.groupindex and match[group]
    ]


def _agreed(values: set[_T]) -> _T | None:
    return next(iter(values)) if len(values) == 1 else None


def _told(what: str, values: Sequence[_T | None], warnings: list[str]) -> _T | None:
    """Return what all sources say; warn where one cannot be read or they disagree."""
    if None in values:
        warnings.append(_UNREADABLE[what])
    elif len(set(values)) > 1:
        warnings.append(_CONFLICT[what])
    return _agreed(set(values))


def _eyes(match: re.Match[str]) -> set[Eye]:
    """Return the eye, or both, that a match tells: by a whole word, of the very words that stand for eyes."""
    begin, end = match.span("eye")
    text = match.string
    if any(_is_letter(one) for one in (text[begin - 1 : begin], text[end : end + 1])):
        return set()
    return _eyes_of(match["eye"].strip())


def _eyes_of(word: str) -> set[Eye]:
    if word.upper() in _BOTH:
        return {Eye.RIGHT, Eye.LEFT}
    eye = eye_of_word(word)
    return {eye} if eye else set()


def _is_letter(char: str) -> bool:
    """Tell whether a character makes a longer word of what it stands beside."""
    return bool(char) and (char.isalnum() or unicodedata.combining(char) > 0)


def _without_persons(name: str, found: Iterable[re.Match[str]]) -> str:
    """Blot out of a name what a pattern says is a patient, lest a surname be taken for an eye."""
    for match in found:
        blotted = list(match.string)
        for group in {"patient", "person"} & match.re.groupindex.keys():
            for index in range(*match.span(group)):
                blotted[index] = "x" if blotted[index].isalpha() else blotted[index]
        name = "".join(blotted).rpartition("/")[2]
    return name


def _patient(text: str) -> str | None:
    readable = text.isprintable() and UNDECODED not in text
    return text if readable and 0 < len(text) <= _LONGEST_PATIENT and not is_nobody(text) else None


def _date(text: str) -> date | None:
    for pattern in _DATES:
        if (match := pattern.fullmatch(text)) and int(match["year"]) in _YEARS:
            try:
                return date(int(match["year"]), int(match["month"]), int(match["day"]))
            except ValueError:
                return None
    return None


def _time(text: str) -> time | None:
    if not (match := _TIME.fullmatch(text)):
        return None
    hour, half = int(match["hour"]), (match["half"] or "").upper()
    if half:
        if not 1 <= hour <= 12:  # noqa: PLR2004  a clock's face
            return None
        hour = hour % 12 + (12 if half == "PM" else 0)
    try:
        return time(hour, int(match["minute"]), int(match["second"] or 0))
    except ValueError:
        return None
