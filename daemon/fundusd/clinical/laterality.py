"""Read the eye from the words in a path; if in doubt, the eye is unknown; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fundusd.clinical.eye_certainty import Certainty, EyeWord, eye_words
from fundusd.clinical.eye_languages import fold, vocabulary
from fundusd.clinical.eye_words import CODES, DIRECTIONS_OF_FOLDERS, LETTERS, ROMANCE, WORDS
from fundusd.clinical.name_words import Name
from fundusd.clinical.path_tokens import tokens_of, without_copy_marks
from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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


def eye_from_words(
    parts: Sequence[str], languages: tuple[LanguageName, ...] = ()
) -> tuple[Eye, EyeSource]:
    """Return the eye given by whole words in a path, and its source.

    OD, OS, RIGHT and LEFT count anywhere in the name, but not where they may be surnames, gazes or
    places. R, L, RE and LE are usually initials or surnames, so they count only if they are in
    capitals and end the name after a number. Words of other languages count only if the camera's
    languages include theirs. All other words that may stand for an eye, and all folders, can only
    contradict.

    >>> eye_from_words(["P17", "P17_Retina_OD_20260607_101500"])
    (<Eye.RIGHT: 'R'>, <EyeSource.NAME: 'name'>)
    >>> eye_from_words(["12_Tran_LE"])
    (<Eye.UNKNOWN: 'U'>, <EyeSource.NONE: 'none'>)
    """
    words = list(_eye_words(parts, languages))
    certain = {word.eye for word in words if word.certainty is Certainty.CERTAIN}
    if certain:
        eyes = {word.eye for word in words} | _eyes_of_folders(parts[:-1], languages)
        if len(eyes) > 1:
            return Eye.UNKNOWN, EyeSource.CONFLICT
        return certain.pop(), EyeSource.NAME
    likely = {word.eye for word in words if word.certainty is Certainty.LIKELY}
    if len(likely) > 1:
        return Eye.UNKNOWN, EyeSource.CONFLICT
    return Eye.UNKNOWN, EyeSource.NONE


def contradicting_eyes(
    parts: Sequence[str], languages: tuple[LanguageName, ...] = ()
) -> frozenset[Eye]:
    """Return every eye that a word or folder of a path may stand for.

    They do not say which eye the capture shows, only which eyes must not be recorded unseen.

    >>> contradicting_eyes(["Left Eye", "12"])
    frozenset({<Eye.LEFT: 'L'>})
    """
    eyes = _eyes_of_folders(parts[:-1], languages)
    for word in _eye_words(parts, languages):
        if word.certainty is not Certainty.SURNAME:
            eyes.add(word.eye)
    return frozenset(eyes)


def likely_eye(parts: Sequence[str], languages: tuple[LanguageName, ...] = ()) -> Eye | None:
    """Return the eye suggested by a word that may mean something else, or None if there is none.

    Such a word is not enough to determine the eye, but enough to contradict another source.

    >>> likely_eye(["JAN_OS_1950"]), likely_eye(["JAN_VAN_OS_1950"])
    (<Eye.LEFT: 'L'>, None)
    """
    words = list(_eye_words(parts, languages))
    eyes = {word.eye for word in words}
    is_likely = any(word.certainty is Certainty.LIKELY for word in words)
    if is_likely and len(eyes) == 1:
        return eyes.pop()
    return None


def _look_up(word: str, eyes: Mapping[str, Eye]) -> Eye | None:
    """Return the eye that `eyes` gives for a word in upper or lower case, or None.

    Only ASCII words are looked up, because `upper` turns some other letters into ASCII.
    """
    if not word.isascii():
        return None
    return eyes.get(word.upper())


def _eye_words(parts: Sequence[str], languages: tuple[LanguageName, ...]) -> Iterator[EyeWord]:
    """Yield every word of a file's name that may stand for an eye."""
    tokens = tokens_of(without_copy_marks(parts[-1]))
    in_folders = {token.folded for folder in parts[:-1] for token in tokens_of(folder)}
    is_about_gaze = not in_folders.isdisjoint(DIRECTIONS_OF_FOLDERS)
    yield from eye_words(Name(tokens, vocabulary(languages), is_about_gaze))


def _eyes_of_folders(folders: Iterable[str], languages: tuple[LanguageName, ...]) -> set[Eye]:
    eyes: set[Eye] = set()
    for folder in folders:
        if _WARD.fullmatch(folder):
            continue
        tokens = tokens_of(without_copy_marks(folder))
        if len(tokens) == 1 and tokens[0].text.upper() in LETTERS:
            eyes.add(LETTERS[tokens[0].text.upper()])
        for word in eye_words(Name(tokens, vocabulary(languages))):
            if word.certainty is not Certainty.SURNAME:
                eyes.add(word.eye)
    return eyes
