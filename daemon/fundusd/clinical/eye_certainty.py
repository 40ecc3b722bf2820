"""Decide how certain it is that a word in a name stands for an eye; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from fundusd.clinical.contradicting_words import MISSPELLINGS, look_alike
from fundusd.clinical.eye_languages import NATIVE_WORDS, fold
from fundusd.clinical.eye_letters import (
    BIRTHDAY,
    EXAM_DAY,
    MAYBE_BIRTHDAY,
    is_born_later,
    is_final_letter,
    may_be_a_letter,
)
from fundusd.clinical.eye_words import (
    ABBREVIATIONS,
    ANATOMY,
    BOTH,
    BOTH_IN_CAPITALS,
    CODES,
    FIELD_CODES,
    LETTERS,
    MODALITIES,
    PARTS,
    PHRASES,
    POSITIONED,
    REMARKS,
    ROMANCE,
    SYSTEMS,
    TITLES,
    WORDS,
)
from fundusd.clinical.name_words import BEFORE_SURNAMES
from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.clinical.name_words import Name
    from fundusd.clinical.path_tokens import Token

_PARTICLES = BEFORE_SURNAMES - {"le"}  # LE is also the left eye
_BOTH_EYES = (Eye.RIGHT, Eye.LEFT)
_CJK = re.compile(r"[\u3005\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_CJK_SIDES = {
    "\u53f3": Eye.RIGHT, "\uc6b0": Eye.RIGHT, "\u5de6": Eye.LEFT, "\uc88c": Eye.LEFT,
}  # fmt: skip
# fundus, macula, disc, photograph, picture, eyeball and side in Chinese and Japanese
_CJK_NOUNS = re.compile(
    "\u773c\u5e95|\u9ec4\u6591|\u9ec3\u6591|\u89c6\u76d8|\u4e73\u982d|\u5199\u771f|\u7167\u7247"
    "|\u5f69\u7167|\u56fe|\u50cf|\u7403|\u4fa7|\u5074"
)


class Certainty(IntEnum):
    """How certain it is that a word stands for an eye."""

    SURNAME = 0  # the word is probably a name, and can only contradict the words beside it
    DOUBTFUL = 1  # the word can contradict any part of the path
    LIKELY = 2  # the word can also contradict the camera
    CERTAIN = 3


@dataclass(frozen=True, slots=True)
class EyeWord:
    """A word of a name that may stand for an eye."""

    eye: Eye
    certainty: Certainty


def eye_words(name: Name) -> Iterator[EyeWord]:
    """Yield each word that may stand for an eye; a word for both eyes is yielded twice."""
    for index in range(len(name.tokens)):
        for word in _words_at(name, index):
            if name.is_in_doubt and word.certainty is Certainty.CERTAIN:
                yield EyeWord(word.eye, Certainty.LIKELY)
            else:
                yield word


def _words_at(name: Name, index: int) -> Iterator[EyeWord]:
    if _CJK.fullmatch(name.tokens[index].text):
        yield from _unspaced_words(name, index)
    elif _is_both(name, index):
        for eye in _BOTH_EYES:
            yield EyeWord(eye, Certainty.DOUBTFUL)
    else:
        yield from _eye_word(name, index)


def _eye_word(name: Name, index: int) -> Iterator[EyeWord]:
    token = name.tokens[index]
    upper = token.text.upper()
    if not token.text.isascii():  # `upper` turns some other letters into ASCII
        upper = ""
    words, codes = name.vocabulary.words, name.vocabulary.codes
    eye = _eye_of_initials(name, index) or look_alike(token.folded)
    if eye:
        yield EyeWord(eye, Certainty.DOUBTFUL)
    if upper in WORDS:
        yield EyeWord(WORDS[upper], _certainty_of_word(name, index))
    elif token.folded in words:
        yield EyeWord(words[token.folded], _certainty_of_native_word(name, index))
    elif upper in CODES:
        yield EyeWord(CODES[upper], _certainty_of_code(name, index))
    elif token.folded in codes:
        yield EyeWord(codes[token.folded], _certainty_of_native_code(name, index))
    elif upper in LETTERS:
        yield from _letter(name, index)
    else:
        yield from _foreign_word(name, index)


def _certainty_of_word(name: Name, index: int) -> Certainty:
    """Return how certain it is that LEFT or RIGHT means an eye, not a place or a gaze."""
    token, before, after = name.tokens[index], name.at(index - 1), name.at(index + 1)
    if not token.is_whole or name.is_direction(index):
        return Certainty.DOUBTFUL
    if name.is_eye_noun(after):
        return Certainty.CERTAIN
    is_surname = before.folded in TITLES or before.folded in _PARTICLES  # Mr Right
    if is_surname or after.folded in PHRASES or name.may_be_a_person(after):  # an eye left open
        return Certainty.LIKELY
    if after.text.isdecimal() and name.at(index + 2).folded in PHRASES:  # left 5 days
        return Certainty.LIKELY
    if name.is_eye_noun(before):
        return Certainty.CERTAIN
    if before.folded in PHRASES or before.folded in POSITIONED or after.folded in PARTS:
        return Certainty.LIKELY
    is_before_letter = before.text in LETTERS
    if name.may_be_a_person(before) and not (is_before_letter or _ends_a_name(name, index)):
        return Certainty.LIKELY
    return Certainty.CERTAIN


def _certainty_of_native_word(name: Name, index: int) -> Certainty:
    """Return the same for a word of the camera's languages, which may also be a surname."""
    token, certainty = name.tokens[index], _certainty_of_word(name, index)
    if name.at(index - 1).folded in BEFORE_SURNAMES:
        return Certainty.SURNAME
    is_first_and_capital = index == 0 and not token.text.islower()
    is_after_surname = name.may_be_a_person(name.at(index - 1)) and not token.text.islower()
    is_of_eye = name.is_beside_eye_noun(index) or name.at(index + 1).folded in ANATOMY
    if (is_first_and_capital or is_after_surname) and not is_of_eye:
        return min(certainty, Certainty.LIKELY)
    return certainty


def _ends_a_name(name: Name, index: int) -> bool:
    """Return whether LEFT or RIGHT after a person's name can hardly be anything but an eye."""
    token, before = name.tokens[index], name.at(index - 1)
    if len(before.text) == 1:
        return False
    if before.text.isupper() or (before.text.istitle() and not token.text.islower()):
        return True
    # Doe_John_left
    first = name.at(index - 2)
    return before.text.istitle() and first.text.istitle() and name.may_be_a_person(first)


def _certainty_of_code(name: Name, index: int) -> Certainty:
    """Return how certain it is that OD or OS means an eye, and not a person."""
    token, before, after = name.tokens[index], name.at(index - 1), name.at(index + 1)
    if not token.is_whole:
        return Certainty.DOUBTFUL
    is_mixed_case = token.text not in {token.text.upper(), token.text.lower()}
    is_after_letter = before.text in LETTERS and name.at(index - 2).has_digit
    is_after_particle = before.folded in BEFORE_SURNAMES and not is_after_letter
    if is_mixed_case or is_after_particle:
        return Certainty.SURNAME
    if after.folded in SYSTEMS or after.folded in _PARTICLES:
        return Certainty.DOUBTFUL
    if name.may_be_a_person(after) and not _is_before_a_remark(token, before, after):
        return Certainty.DOUBTFUL
    may_be_born = BIRTHDAY.match(after.text) or MAYBE_BIRTHDAY.match(after.text)
    if not before.text and (may_be_born or is_born_later(name, index)):
        return Certainty.LIKELY
    # an eye is usually last, or before the date of the photograph or a part of the eye
    is_before_day = EXAM_DAY.match(after.text) and not may_be_born
    is_in_place = not after.text or is_before_day or after.folded in ANATOMY
    is_in_place = is_in_place or _is_between_person_and_counter(name, index)
    if before.folded in TITLES - {"dr", "o", "st"}:
        return Certainty.LIKELY
    is_after_person = name.may_be_a_person(before) and not is_after_letter
    if is_after_person and not (token.text.isupper() and is_in_place):
        return Certainty.LIKELY
    return Certainty.CERTAIN


def _certainty_of_native_code(name: Name, index: int) -> Certainty:
    """Return the same for an abbreviation of the camera's languages: Li and Wei Li are people."""
    certainty = _certainty_of_code(name, index)
    before = name.at(index - 1)
    if not before.text or name.may_be_a_person(before):
        return min(certainty, Certainty.DOUBTFUL)
    return certainty


def _eye_of_initials(name: Name, index: int) -> Eye | None:
    """Return the eye of a code whose letters are written apart: O.S., R.E."""
    letters = name.tokens[index].text.upper() + name.at(index + 1).text.upper()
    if len(letters) != len("OS") or len(name.tokens[index].text) != 1 or not letters.isascii():
        return None
    return CODES.get(letters) or ROMANCE.get(letters) or LETTERS.get(letters)


def _is_before_a_remark(token: Token, before: Token, after: Token) -> bool:
    """Return whether a code in capitals is between a number and a word that is no surname.

    Such a word is in small letters, or a kind of picture, or another eye, which must agree.
    """
    if not (before.has_digit and token.text.isupper()):
        return False
    is_known = after.folded in REMARKS or after.folded in NATIVE_WORDS
    is_remark = is_known or len(after.text) <= len("no")
    is_code = after.text in LETTERS or after.text in FIELD_CODES or after.folded in MODALITIES
    return is_code or (after.text.islower() and is_remark)


def _is_between_person_and_counter(name: Name, index: int) -> bool:
    """Return whether a code in capitals is between two capitalised names and a counter at the end.

    The code of Doe_John_OD_1 is an eye, because the names are in other letters.
    """
    after = name.at(index + 1)
    if index + 2 != len(name.tokens) or not re.fullmatch(r"\d{1,2}", after.text):
        return False
    names = name.tokens[max(index - 2, 0) : index]
    return len(names) == 2 and all(token.text.istitle() for token in names)  # noqa: PLR2004


def _letter(name: Name, index: int) -> Iterator[EyeWord]:
    eye = LETTERS[name.tokens[index].text.upper()]
    if is_final_letter(name, index):
        yield EyeWord(eye, Certainty.CERTAIN)
    elif may_be_a_letter(name, index):
        yield EyeWord(eye, Certainty.DOUBTFUL)


def _foreign_word(name: Name, index: int) -> Iterator[EyeWord]:
    """Yield an eye in a language that the camera is not known to use."""
    token = name.tokens[index]
    eye = name.vocabulary.contradicting_words.get(token.folded)
    if eye and name.stands_alone(index):
        certainty = Certainty.LIKELY
        if token.text.istitle() or name.is_direction(index):
            certainty = Certainty.DOUBTFUL
        yield EyeWord(eye, certainty)
    eye = name.vocabulary.contradicting_codes.get(token.folded)
    if eye and name.stands_alone(index):
        yield EyeWord(eye, Certainty.DOUBTFUL)
    eye = name.vocabulary.contradicting_after_numbers.get(token.folded)
    is_english = token.text.upper() in ABBREVIATIONS
    is_first = index == 0 and is_english and name.at(1).has_digit
    is_of_eye = is_english and (len(name.tokens) == 1 or name.is_beside_anatomy(index))
    if eye and (is_first or is_of_eye or name.at(index - 1).has_digit):
        yield EyeWord(eye, Certainty.DOUBTFUL)
    eye = MISSPELLINGS.get(token.folded)
    if eye and name.stands_alone(index):
        yield EyeWord(eye, Certainty.DOUBTFUL)


def _is_both(name: Name, index: int) -> bool:
    token, before, after = name.tokens[index], name.at(index - 1), name.at(index + 1)
    if token.text.isascii() and token.text.upper() in BOTH:
        return True
    if token.text in BOTH_IN_CAPITALS:
        is_first = not before.text and after.text.isdecimal()
        return name.is_eye(after) or is_first or (len(token.text) > 1 and before.has_digit)
    return token.folded in name.vocabulary.both and name.stands_alone(index)


def _unspaced_words(name: Name, index: int) -> Iterator[EyeWord]:
    """Yield the eyes of a word in a script without blanks, which may be part of a person's name."""
    text, vocabulary = name.tokens[index].text, name.vocabulary
    if text in vocabulary.both:
        for eye in _BOTH_EYES:
            yield EyeWord(eye, Certainty.DOUBTFUL)
        return
    word = fold(_CJK_NOUNS.sub("", text))
    may_be_a_person = len(word) == 1 and not name.at(index - 1).has_digit
    is_doubtful = may_be_a_person or name.is_direction(index)
    if word in vocabulary.words and not is_doubtful:
        yield EyeWord(vocabulary.words[word], Certainty.CERTAIN)
    elif word in vocabulary.contradicting_words and not is_doubtful:
        yield EyeWord(vocabulary.contradicting_words[word], Certainty.LIKELY)
    else:
        for sign, eye in _CJK_SIDES.items():
            if sign in text:
                yield EyeWord(eye, Certainty.DOUBTFUL)
