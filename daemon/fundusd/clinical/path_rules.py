"""Read the eye, field, patient, date and time from the path of a capture; pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fundusd.clinical.attribution import LIKELY, CaptureMetadata, agree, agree_on_eye
from fundusd.clinical.camera_conventions import CONVENTIONS
from fundusd.clinical.field_values import (
    read_date,
    read_eyes,
    read_field,
    read_patient,
    read_time,
)
from fundusd.clinical.laterality import eye_from_words, likely_eye, parts_of
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fundusd.clinical.camera_conventions import ConventionName

_Value = TypeVar("_Value")

# named groups of a pattern; a person's name is masked before the eye is read
GROUPS = ("patient", "person", "eye", "field", "date", "time")

_LONGEST_PATH = 255  # characters; matching time grows with up to the third power
_MAX_OPEN_REPEATS = 3

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_OPEN_REPEAT = re.compile(
    r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\]*+{}()|?])(?:[*+]|\{\d*,\})(?=[?+]?\)*(.?))",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression for the end of a path.

    The end consists of the file's name and one folder for each slash in the expression.
    """

    regex: re.Pattern[str]
    folders: int

    def match(self, parts: Sequence[str]) -> re.Match[str] | None:
        """Return the match for the end of a path, trying the largest number of folders first."""
        for count in range(min(self.folders + 1, len(parts)), 0, -1):
            end = "/".join(parts[-count:])
            if len(end) > _LONGEST_PATH:
                continue
            match = self.regex.fullmatch(end)
            if match:
                return match
        return None


def compiled(text: str) -> Pattern:
    """Compile an operator's pattern.

    If the pattern is not allowed, raises a ValueError that says what is wrong.

    >>> compiled("(?P<patient>[^_]+)_(?P<eye>OD|OS)").folders
    0
    """
    try:
        pattern = _pattern(text, 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a regular expression ({error})") from None
    if not pattern.regex.groupindex or set(pattern.regex.groupindex) - set(GROUPS):
        raise ValueError(
            "must have named groups, such as (?P<eye>OD|OS), "
            f"and no groups except {', '.join(GROUPS)}"
        )
    if re.search(r"\)(?:[*+]|\{)", _bare(text)):
        raise ValueError(
            "must not repeat a group, as in (…)+: an unusual name could take years to match"
        )
    if _count_open_repeats(text) > _MAX_OPEN_REPEATS:
        raise ValueError(
            f"has more than {_MAX_OPEN_REPEATS} unbounded repeats: "
            "write [^_]+_ for text that ends at the next _, or set a limit as in {1,20}"
        )
    return pattern


def _pattern(text: str, flags: int) -> Pattern:
    return Pattern(re.compile(text, flags), _bare(text).count("/"))


def _bare(text: str) -> str:
    """Return a regular expression with each escape and character class replaced by a letter."""
    return _CLASS.sub("x", _ESCAPE.sub("x", text.replace(r"\/", "/")))


def _count_open_repeats(text: str) -> int:
    """Count the unbounded repeats that make matching slow.

    Repeats of digits do not count, nor do repeats that the next character always ends.
    """
    count = 0
    for atom, after in _OPEN_REPEAT.findall(text):
        is_ended = atom.startswith("[^") and after and after in atom[2:]
        if atom != r"\d" and not is_ended:
            count += 1
    return count


@dataclass(frozen=True, slots=True)
class Naming:
    """How one camera names its captures."""

    patterns: tuple[Pattern, ...] = ()
    words: bool = True  # also read the eye from whole words of the name

    @classmethod
    def of(cls, convention: ConventionName, pattern: str = "") -> Naming:
        """Return the naming that results from a convention and from an operator's own pattern.

        Raises ValueError if the operator's pattern is not allowed.
        """
        chosen = CONVENTIONS[convention]
        patterns: list[Pattern] = []
        if pattern:
            patterns.append(compiled(pattern))
        for preset in chosen.patterns:
            patterns.append(_pattern(preset, re.IGNORECASE | re.ASCII))
        return cls(tuple(patterns), chosen.words)

    def read(self, path_text: str) -> CaptureMetadata:
        """Return the metadata given by a path relative to the inbox.

        If there are patterns but none of them matches, only a warning is returned.

        >>> metadata = Naming.of("eyepacs").read("13_left.jpeg")
        >>> metadata.patient, str(metadata.eye), str(metadata.eye_source)
        ('13', 'L', 'name')
        """
        parts = parts_of(path_text)
        matches = list(self._matches(parts))
        if self.patterns and not matches:
            return CaptureMetadata(warnings=(CaptureWarning.NAME_UNMATCHED,))
        warnings: list[str] = []
        eye, eye_source = self._eye(parts, matches, warnings)
        return CaptureMetadata(
            eye,
            eye_source,
            field=_field(matches),
            patient=_value(matches, "patient", read_patient, warnings),
            date=_value(matches, "date", read_date, warnings),
            time=_value(matches, "time", read_time, warnings),
            warnings=tuple(warnings),
        )

    def _matches(self, parts: Sequence[str]) -> Iterator[re.Match[str]]:
        for pattern in self.patterns:
            match = pattern.match(parts)
            if match:
                yield match

    def _eye(
        self, parts: Sequence[str], matches: Sequence[re.Match[str]], warnings: list[str]
    ) -> tuple[Eye, EyeSource]:
        """Return the eye given by the groups and words in a path, and its source."""
        eyes: set[Eye] = set()
        for match in matches:
            if not _texts([match], "eye"):
                continue
            named_eyes = _eyes_of_group(match)
            if not named_eyes:
                warnings.append(CaptureWarning.EYE_UNREADABLE)
                return Eye.UNKNOWN, EyeSource.NONE
            eyes |= named_eyes
        if self.words:
            name = _without_persons(parts[-1], matches)
            eyes |= _eyes_of_words([*parts[:-1], name])
            likely = likely_eye(name)
            if likely and eyes:
                eyes.add(likely)
            elif likely:
                warnings.append(LIKELY[likely])
        return agree_on_eye(eyes, warnings)


def _eyes_of_words(parts: Sequence[str]) -> set[Eye]:
    """Return the eyes that whole words in a path stand for, or both if the words disagree."""
    eye, source = eye_from_words(parts)
    if source is EyeSource.CONFLICT:
        return {Eye.RIGHT, Eye.LEFT}
    if source is EyeSource.NAME:
        return {eye}
    return set()


def _eyes_of_group(match: re.Match[str]) -> frozenset[Eye]:
    """Return the eyes that the matched group `eye` stands for.

    The result is empty if the group matched only part of a word.
    """
    begin, end = match.span("eye")
    text = match.string
    if _is_letter(text[begin - 1 : begin]) or _is_letter(text[end : end + 1]):
        return frozenset()
    return read_eyes(match["eye"].strip())


def _field(matches: Iterable[re.Match[str]]) -> str | None:
    """Return the field that all matches give, or None if they give none or disagree."""
    fields = {read_field(text) for text in _texts(matches, "field")}
    if len(fields) == 1:
        return fields.pop()
    return None


def _value(
    matches: Iterable[re.Match[str]],
    group: str,
    read: Callable[[str], _Value | None],
    warnings: list[str],
) -> _Value | None:
    """Return the value that all matches give for a group, or None if they give none or disagree.

    A warning is added if the values differ or are unreadable.
    """
    values = [read(text) for text in _texts(matches, group)]
    return agree(group, values, warnings)


def _texts(matches: Iterable[re.Match[str]], group: str) -> list[str]:
    """Return the text of a group from each match in which the group is not empty."""
    texts: list[str] = []
    for match in matches:
        if group in match.re.groupindex and match[group]:
            texts.append(match[group].strip())
    return texts


def _is_letter(char: str) -> bool:
    """Return whether a character next to a word makes it part of a longer word."""
    return bool(char) and (char.isalnum() or unicodedata.combining(char) > 0)


def _without_persons(name: str, matches: Iterable[re.Match[str]]) -> str:
    """Return a file's name with the groups `patient` and `person` masked.

    They are masked so that no surname is mistaken for an eye.
    """
    for match in matches:
        masked = list(match.string)
        for group in {"patient", "person"} & match.re.groupindex.keys():
            begin, end = match.span(group)
            for index in range(begin, end):
                if masked[index].isalpha():
                    masked[index] = "x"
        name = "".join(masked).rpartition("/")[2]
    return name
