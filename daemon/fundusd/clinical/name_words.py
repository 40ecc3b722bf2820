"""Tell the words of a name apart that may be an eye, a person, a place or a number; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fundusd.clinical.eye_languages import EYE_NOUNS, NATIVE_WORDS
from fundusd.clinical.eye_words import (
    ANATOMY,
    BOTH,
    CODES,
    DOUBTS,
    LETTERS,
    NEGATIONS,
    NEUTRAL,
    NUMBER_WORDS,
    ROMANCE,
    UNSPACED_DOUBTS,
    WORDS,
)
from fundusd.clinical.path_tokens import Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.clinical.eye_languages import Vocabulary

# "van Os" is a person
BEFORE_SURNAMES = frozenset({
    "al", "ben", "bin", "da", "de", "del", "den", "der", "di", "du", "el", "la", "le", "ten", "ter",
    "van", "von",
})  # fmt: skip
_CONTRACTIONS = frozenset({"s", "t", "m", "d"})  # that's right
_UNSPACED_EYE = re.compile("[\u773c\u76ee\uc548\ub208]")  # eye in Chinese, Japanese, Korean
_NOTHING = Token("")


@dataclass(frozen=True)
class Name:
    """The tokens of a name, and the words of other languages with which they are read.

    `is_about_gaze` says that a folder above the name is one of gazes or stereoscopic views.
    """

    tokens: Sequence[Token]
    vocabulary: Vocabulary
    is_about_gaze: bool = False
    is_below_doubt: bool = False  # a folder above the name says that something is wrong
    fixed: frozenset[str] = frozenset()  # words of the camera's pattern, which are no doubt

    @cached_property
    def is_in_doubt(self) -> bool:
        """Return whether a word of the name says that something in it is wrong or uncertain."""
        return self.is_below_doubt or any(map(self._is_doubt, range(len(self.tokens))))

    @cached_property
    def has_digit(self) -> bool:
        """Return whether a token of the name has a digit."""
        return any(token.has_digit for token in self.tokens)

    @cached_property
    def has_place_or_thing(self) -> bool:
        """Return whether a token of the name is a place, a gaze, a room, a machine or the like."""
        return any(self.is_place(token) or self.is_thing(token) for token in self.tokens)

    @cached_property
    def end_of_core(self) -> int:
        """Return the index behind the last token that is not a part of the eye."""
        end = len(self.tokens)
        while end and self.tokens[end - 1].folded in ANATOMY:
            end -= 1
        return end

    def at(self, index: int) -> Token:
        """Return the token at `index`, or an empty one before the first and after the last."""
        if 0 <= index < len(self.tokens):
            return self.tokens[index]
        return _NOTHING

    def is_eye(self, token: Token) -> bool:
        """Return whether a token is a word or code for an eye, wherever it stands."""
        upper = token.text.upper()
        return upper in WORDS or upper in CODES or upper in ROMANCE or upper in BOTH

    def is_place(self, token: Token) -> bool:
        """Return whether a token is a gaze, a part of a picture or one of two views."""
        places = self.vocabulary.places
        return token.folded in places or _without_number(token) in places

    def is_thing(self, token: Token) -> bool:
        """Return whether a token is a room, a machine or a part of the body."""
        return _without_number(token) in self.vocabulary.things

    def is_neutral(self, token: Token) -> bool:
        """Return whether a token leaves an eye beside it as likely as it was.

        This holds for numbers and codes, words of cameras, other eyes, one small letter, and for
        the beginning and the end of the name.
        """
        folded = token.folded
        return (
            not token.text.isalpha()
            or folded in NEUTRAL
            or folded in ANATOMY
            or folded in self.vocabulary.eye_nouns
            or folded in self.vocabulary.words
            or self.is_eye(token)
            or (len(token.text) == 1 and token.text.islower() and token.text not in _CONTRACTIONS)
        )

    def may_be_a_person(self, token: Token) -> bool:
        """Return whether a token may be a person's name."""
        return not self.is_neutral(token) and not self.is_place(token)

    def is_direction(self, index: int) -> bool:
        """Return whether the word at `index` may say where in a room, a picture or a pair.

        Words of gaze or place anywhere in the name count, but not behind "right eye".
        """
        if self.is_about_gaze or self._is_beside_a_thing(index):
            return True
        if not self._places:
            return False
        is_of_eye = self.is_beside_eye_noun(index) or _UNSPACED_EYE.search(self.tokens[index].text)
        return not is_of_eye or self._places[0] < index or self._is_stereo

    def is_beside_eye_noun(self, index: int) -> bool:
        """Return whether the word at `index` is beside the word eye."""
        return self.is_eye_noun(self.at(index - 1)) or self.is_eye_noun(self.at(index + 1))

    def is_beside_anatomy(self, index: int) -> bool:
        """Return whether the word at `index` is beside a part of the eye, as in Lt Macula."""
        return self.at(index - 1).folded in ANATOMY or self.at(index + 1).folded in ANATOMY

    def is_eye_noun(self, token: Token) -> bool:
        """Return whether a token is the word eye in English or a language of the camera."""
        return token.folded in self.vocabulary.eye_nouns

    def stands_alone(self, index: int) -> bool:
        """Return whether the word at `index` is not part of a name, as Links in "Links, Anna"."""
        before, after = self.at(index - 1), self.at(index + 1)
        if before.folded in BEFORE_SURNAMES:
            return False
        if before.text and self.is_neutral(before):
            return True
        return after.folded in EYE_NOUNS or not self.may_be_a_person(after)

    def _is_doubt(self, index: int) -> bool:
        token = self.tokens[index]
        if token.folded in self.fixed:
            return False
        if token.folded in NEGATIONS:
            return self._may_be_an_eye(self.at(index + 1))
        return token.folded in DOUBTS or any(word in token.text for word in UNSPACED_DOUBTS)

    def _may_be_an_eye(self, token: Token) -> bool:
        is_native = token.folded in NATIVE_WORDS or self.is_eye_noun(token)
        return is_native or self.is_eye(token) or token.text.upper() in LETTERS

    @cached_property
    def _places(self) -> list[int]:
        places: list[int] = []
        for index, token in enumerate(self.tokens):
            if self.is_place(token) and not self._is_follow_up(index):
                places.append(index)
        return places

    @cached_property
    def _is_stereo(self) -> bool:
        return any(token.folded == "stereo" for token in self.tokens)

    def _is_follow_up(self, index: int) -> bool:
        is_up = self.at(index).folded == "up"
        return is_up and self.at(index - 1).folded in {"follow", "back", "set"}

    def _is_beside_a_thing(self, index: int) -> bool:
        """Return whether a room, a hand or the like is beside a word, or beside its number."""
        for step in (-1, 1):
            nearest, next_to_it = self.at(index + step), self.at(index + 2 * step)
            if self.is_thing(nearest):
                return True
            is_number = nearest.text.isdecimal() or nearest.folded in NUMBER_WORDS
            is_skipped = is_number or len(nearest.text) == 1 or self.is_eye_noun(nearest)
            if is_skipped and self.is_thing(next_to_it):
                return True
        return False


def _without_number(token: Token) -> str:
    """Return a word without the number at its end or beginning: room2 is a room."""
    return token.folded.strip("0123456789")
