"""Read the eye from the words in a path; if in doubt, the eye is unknown; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.clinical.copy_marks import without_copy_marks
from fundusd.clinical.eye_certainty import Certainty, EyeWord, eye_words
from fundusd.clinical.eye_languages import fold, vocabulary
from fundusd.clinical.eye_words import (
    CODES,
    DIRECTIONS_OF_FOLDERS,
    DOUBTS_OF_FOLDERS,
    LETTERS,
    ROMANCE,
    WORDS,
)
from fundusd.clinical.name_words import Name
from fundusd.clinical.path_tokens import tokens_of
from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fundusd.clinical.eye_languages import LanguageName

# a folder named R1 or L2 is that of a ward, a room or a round
_WARD = re.compile(r"[RL]E?\d+", re.IGNORECASE)


def eye_of_word(word: str, languages: tuple[LanguageName, ...] = ()) -> Eye | None:
    """Return the eye that a word by itself stands for, or None for any other word.

    Words of all languages count. Abbreviations count only in the given languages, except for OE, OI
    and OG.

    >>> eye_of_word("od"), eye_of_word("LE"), eye_of_word("gauche"), eye_of_word("ROSA")
    (<Eye.RIGHT: 'R'>, <Eye.LEFT: 'L'>, <Eye.LEFT: 'L'>, None)
    """
    for table in (CODES, WORDS, LETTERS, ROMANCE):
        eye = _look_up(word, table)
        if eye:
            return eye
    known = vocabulary(languages)
    for table in (known.words, known.codes, known.contradicting_words):
        eye = table.get(fold(word))
        if eye:
            return eye
    return None


@dataclass(frozen=True, slots=True)
class PathWords:
    """What the words of a path say of the eye.

    `words` are those of the file's name; folders can only contradict.
    """

    words: tuple[EyeWord, ...]
    eyes_of_folders: frozenset[Eye]
    is_in_doubt: bool = False  # a word says that the eye is wrong or uncertain
    is_about_gaze: bool = False  # a word says that these are gazes or stereoscopic views

    def eye(self) -> tuple[Eye, EyeSource]:
        """Return the eye that the words name, and its source."""
        certain = {word.eye for word in self.words if word.certainty is Certainty.CERTAIN}
        if certain:
            eyes = {word.eye for word in self.words} | self.eyes_of_folders
            if len(eyes) > 1:
                return Eye.UNKNOWN, EyeSource.CONFLICT
            return certain.pop(), EyeSource.NAME
        likely = {word.eye for word in self.words if word.certainty is Certainty.LIKELY}
        if len(likely) > 1:
            return Eye.UNKNOWN, EyeSource.CONFLICT
        return Eye.UNKNOWN, EyeSource.NONE

    def contradicting_eyes(self) -> frozenset[Eye]:
        """Return every eye that a word or folder may stand for.

        They do not say which eye the capture shows, only which eyes must not be recorded unseen.
        """
        eyes = set(self.eyes_of_folders)
        for word in self.words:
            if word.certainty is not Certainty.SURNAME:
                eyes.add(word.eye)
        return frozenset(eyes)

    def likely_eye(self) -> Eye | None:
        """Return the eye suggested by a word that may mean something else, or None.

        Such a word is not enough to determine the eye, but enough to contradict another source.
        """
        eyes = {word.eye for word in self.words}
        is_likely = any(word.certainty is Certainty.LIKELY for word in self.words)
        if is_likely and len(eyes) == 1:
            return eyes.pop()
        return None


def read_words(
    parts: Sequence[str],
    languages: tuple[LanguageName, ...] = (),
    fixed: frozenset[str] = frozenset(),
) -> PathWords:
    """Return what the words of a path say of the eye; the last part is the file's name.

    `fixed` are words in small letters that all names of the camera have: they cast no doubt.

    OD, OS, RIGHT and LEFT count anywhere in the name, but not where they may be surnames, gazes or
    places. R, L, RE and LE are usually initials or surnames, so they count only if they are in
    capitals and end the name after a number. Words of other languages count only if the camera's
    languages include theirs. All other words that may stand for an eye, and all folders, can only
    contradict.

    >>> read_words(["P17", "P17_Retina_OD_20260607_101500"]).eye()
    (<Eye.RIGHT: 'R'>, <EyeSource.NAME: 'name'>)
    >>> read_words(["12_Tran_LE"]).eye()
    (<Eye.UNKNOWN: 'U'>, <EyeSource.NONE: 'none'>)
    >>> read_words(["Left Eye", "12"]).contradicting_eyes()
    frozenset({<Eye.LEFT: 'L'>})
    >>> read_words(["JAN_OS_1950"]).likely_eye(), read_words(["JAN_VAN_OS_1950"]).likely_eye()
    (<Eye.LEFT: 'L'>, None)
    """
    known = vocabulary(languages)
    eyes: set[Eye] = set()
    is_about_gaze = is_in_doubt = False
    for folder in parts[:-1]:
        name = Name(tokens_of(without_copy_marks(folder)), known, fixed=fixed)
        is_about_gaze |= _has(name, DIRECTIONS_OF_FOLDERS)
        is_in_doubt |= _has(name, DOUBTS_OF_FOLDERS) or _is_another_eye(name)
        eyes.update(_eyes_of_folder(folder, name))
    name = Name(tokens_of(without_copy_marks(parts[-1])), known, is_about_gaze, is_in_doubt, fixed)
    return PathWords(
        tuple(eye_words(name)),
        frozenset(eyes),
        name.is_in_doubt,
        is_about_gaze or _has(name, DIRECTIONS_OF_FOLDERS),
    )


def _look_up(word: str, eyes: Mapping[str, Eye]) -> Eye | None:
    """Return the eye that `eyes` gives for a word in upper or lower case, or None.

    Only ASCII words are looked up, because `upper` turns some other letters into ASCII.
    """
    if not word.isascii():
        return None
    return eyes.get(word.upper())


def _has(name: Name, words: frozenset[str]) -> bool:
    return any(token.folded in words and token.folded not in name.fixed for token in name.tokens)


def _is_another_eye(name: Name) -> bool:
    """Return whether a folder is named "other eye" or the like; "other" alone is no doubt."""
    return name.is_in_doubt and any(map(name.is_eye_noun, name.tokens))


def _eyes_of_folder(folder: str, name: Name) -> Iterator[Eye]:
    """Yield the eyes that a folder, split into the tokens of `name`, may stand for."""
    if _WARD.fullmatch(folder):
        return
    if len(name.tokens) == 1 and name.tokens[0].text.upper() in LETTERS:
        yield LETTERS[name.tokens[0].text.upper()]
    for word in eye_words(name):
        if word.certainty is not Certainty.SURNAME:
            yield word.eye
