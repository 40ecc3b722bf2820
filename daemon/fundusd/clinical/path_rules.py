"""Read the eye, field, patient, date and time from the path of a capture; pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fundusd.clinical.attribution import CaptureMetadata, agree
from fundusd.clinical.camera_conventions import CONVENTIONS
from fundusd.clinical.copy_marks import without_copy_marks
from fundusd.clinical.eye_sources import LIKELY, agree_on_eye
from fundusd.clinical.eye_words import LETTERS, WORDS
from fundusd.clinical.field_sources import agree_on_field
from fundusd.clinical.field_values import (
    read_date,
    read_eyes,
    read_field,
    read_patient,
    read_time,
)
from fundusd.clinical.laterality import PathWords, read_words
from fundusd.clinical.path_patterns import GROUPS, Pattern, compiled, pattern_of
from fundusd.clinical.path_tokens import parts_of
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from fundusd.clinical.camera_conventions import ConventionName
    from fundusd.clinical.eye_languages import LanguageName

_Value = TypeVar("_Value")

# a person's name is masked before the eye is read
_OF_PEOPLE = ("patient", "person")

# digits that a pattern has directly before or after the group `eye`, as in \d+(?P<eye>[LR])
_DIGITS = r"(?:\\d|\[0-9\])"
_DIGITS_BEFORE_EYE = re.compile(_DIGITS + r"(?:[+*?]|\{[\d,]+\})?\)?\(\?P<eye>")
_DIGITS_AFTER_EYE = re.compile(r"\(\?P<eye>[^()]*\)(?:\(\?P<\w+>)?" + _DIGITS)


@dataclass(frozen=True, slots=True)
class Naming:
    """How one camera names its captures."""

    patterns: tuple[Pattern, ...] = ()
    words: bool = True  # also read the eye from whole words of the name
    languages: tuple[LanguageName, ...] = ()  # whose words for an eye the camera writes

    @classmethod
    def of(
        cls,
        convention: ConventionName,
        pattern: str = "",
        languages: tuple[LanguageName, ...] = (),
    ) -> Naming:
        """Return the naming that results from a convention and from an operator's own pattern.

        Raises ValueError if the operator's pattern is not allowed.
        """
        chosen = CONVENTIONS[convention]
        patterns: list[Pattern] = []
        if pattern:
            patterns.append(compiled(pattern))
        for preset in chosen.patterns:
            patterns.append(pattern_of(preset, re.IGNORECASE | re.ASCII))
        return cls(tuple(patterns), chosen.words, languages)

    def read(self, path_text: str) -> CaptureMetadata:
        """Return the metadata given by a path relative to the inbox.

        If there are patterns but none of them matches, only a warning is returned.

        >>> metadata = Naming.of("eyepacs").read("13_left.jpeg")
        >>> metadata.patient, str(metadata.eye), str(metadata.eye_source)
        ('13', 'L', 'name')
        """
        parts, matches = self._matches(parts_of(path_text))
        if self.patterns and not matches:
            return CaptureMetadata(warnings=(CaptureWarning.NAME_UNMATCHED,))
        warnings: list[str] = []
        eye, eye_source = self._eye(parts, matches, warnings)
        return CaptureMetadata(
            eye,
            eye_source,
            field=_field(matches, warnings),
            patient=_patient(matches, warnings),
            date=_value(matches, "date", read_date, warnings),
            time=_value(matches, "time", read_time, warnings),
            warnings=tuple(warnings),
        )

    def _matches(self, parts: list[str]) -> tuple[list[str], list[re.Match[str]]]:
        """Return the parts of a path and the match of each pattern that fits them.

        The marks of a copy, such as "(1)", are removed only if more patterns fit without them.
        """
        as_is = self._matches_of(parts)
        of_original = [*parts[:-1], without_copy_marks(parts[-1])]
        if of_original != parts:
            matches = self._matches_of(of_original)
            if len(matches) > len(as_is):
                return of_original, matches
        return parts, as_is

    def _matches_of(self, parts: Sequence[str]) -> list[re.Match[str]]:
        matches: list[re.Match[str]] = []
        for pattern in self.patterns:
            match = pattern.match(parts)
            if match:
                matches.append(match)
        return matches

    def _eye(
        self, parts: Sequence[str], matches: Sequence[re.Match[str]], warnings: list[str]
    ) -> tuple[Eye, EyeSource]:
        """Return the eye given by the groups and words in a path, and its source."""
        eyes: set[Eye] = set()
        for match in matches:
            if not _texts([match], "eye"):
                continue
            named_eyes = _eyes_of_group(match, self.languages)
            if not named_eyes:
                warnings.append(CaptureWarning.EYE_UNREADABLE)
                return Eye.UNKNOWN, EyeSource.NONE
            eyes |= named_eyes
        is_named = bool(eyes)
        if not (self.words or is_named):
            return Eye.UNKNOWN, EyeSource.NONE
        masked = _masked(parts, matches, _OF_PEOPLE if self.words else GROUPS)
        words = read_words(masked, self.languages, _fixed_words(matches))
        if self.words:
            eyes |= _eyes_of_words(words, eyes, warnings)
        else:
            eyes |= words.contradicting_eyes()
        if is_named and len(eyes) == 1 and words.is_in_doubt:
            warnings.append(LIKELY[min(eyes)])
            return Eye.UNKNOWN, EyeSource.NONE
        if is_named and len(eyes) == 1 and words.is_about_gaze and not _are_codes(matches):
            return Eye.UNKNOWN, EyeSource.NONE
        return agree_on_eye(eyes, warnings)


def _eyes_of_words(words: PathWords, named_eyes: Collection[Eye], warnings: list[str]) -> set[Eye]:
    """Return the eyes that whole words in a path stand for, or both if the words disagree.

    Words that are not enough to name an eye count only if a group or a word names one. Otherwise
    they add a warning.
    """
    eye, source = words.eye()
    if source is EyeSource.CONFLICT:
        return {Eye.RIGHT, Eye.LEFT}
    if named_eyes:
        return set(words.contradicting_eyes())
    if source is EyeSource.NAME:
        return {eye}
    likely = words.likely_eye()
    if likely:
        warnings.append(LIKELY[likely])
    return set()


def _fixed_words(matches: Iterable[re.Match[str]]) -> frozenset[str]:
    """Return the words in small letters that the matching patterns themselves contain."""
    words: set[str] = set()
    for match in matches:
        words.update(re.findall(r"[a-z]{2,}", match.re.pattern.lower()))
    return frozenset(words)


def _are_codes(matches: Iterable[re.Match[str]]) -> bool:
    """Return whether the eye is written as OD or the like, which is no direction of gaze."""
    return not any(text.upper() in {*WORDS, *LETTERS} for text in _texts(matches, "eye"))


def _eyes_of_group(match: re.Match[str], languages: tuple[LanguageName, ...]) -> frozenset[Eye]:
    """Return the eyes that the matched group `eye` stands for.

    The result is empty if the group matched only part of a word. A digit next to the group is not
    part of a word if it belongs to another group or if the pattern has digits there.
    """
    begin, end = match.span("eye")
    text = match.string
    before, after = _DIGITS_BEFORE_EYE, _DIGITS_AFTER_EYE
    if begin > 0 and not _is_apart(match, begin - 1, before):
        return frozenset()
    if end < len(text) and not _is_apart(match, end, after):
        return frozenset()
    return read_eyes(match["eye"].strip(), languages)


def _is_apart(match: re.Match[str], index: int, digits: re.Pattern[str]) -> bool:
    """Return whether the character at `index`, next to the group `eye`, is no part of its word."""
    char = match.string[index]
    if not _is_letter(char):
        return True
    if not char.isdecimal():
        return False
    for group in match.re.groupindex:
        begin, end = match.span(group)
        if group != "eye" and begin <= index < end:
            return True
    return digits.search(match.re.pattern) is not None


def _field(matches: Iterable[re.Match[str]], warnings: list[str]) -> str | None:
    """Return the field that all matches give, or None if they give none or disagree."""
    fields = {read_field(text) for text in _texts(matches, "field")}
    return None if None in fields else agree_on_field(fields, warnings)


def _patient(matches: Iterable[re.Match[str]], warnings: list[str]) -> str | None:
    """Return the patient that all matches give, or None if they give none or disagree.

    Folder and name may differ in upper and lower case. The folder's spelling is used, because all
    captures of the folder have it: conventions list the patterns of folders last.
    """
    spellings = _texts(matches, "patient")
    if len({text.casefold() for text in spellings}) == 1:
        spellings = spellings[-1:]
    return agree("patient", [read_patient(text) for text in spellings], warnings)


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


def _masked(
    parts: Sequence[str], matches: Iterable[re.Match[str]], groups: Collection[str]
) -> list[str]:
    """Return the parts of a path with the letters of some groups replaced by x.

    They are replaced so that no surname is mistaken for an eye.
    """
    masked = list("/".join(parts))
    for match in matches:
        offset = len(masked) - len(match.string)
        for group in match.re.groupindex.keys() & set(groups):
            begin, end = match.span(group)
            for index in range(offset + begin, offset + end):
                if masked[index].isalpha():
                    masked[index] = "x"
    return "".join(masked).split("/")
