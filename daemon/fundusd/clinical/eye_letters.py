"""Decide whether R, L, RE or LE in a name is an eye or something else; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fundusd.clinical.eye_words import ANATOMY, IMAGES, NUMBERED, PATIENTS
from fundusd.clinical.path_tokens import Token

if TYPE_CHECKING:
    from fundusd.clinical.name_words import Name

# no camera exported digital photographs in these years
BIRTHDAY = re.compile(r"(?:19[0-8]\d(?:\d{4})?|\d{4}19[0-8]\d)$")
EXAM_DAY = re.compile(r"(?:199\d|20\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$")
# Beside a person's name, these dates may be birthdays, too: those before 2015, because no younger
# children come to a screening, and those of six digits
MAYBE_BIRTHDAY = re.compile(
    r"(?:(?:199\d|200\d|201[0-4])(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:199\d|200\d|201[0-4])"
    r"|\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d)$"
)
_LONG_NUMBER = 4  # digits
_SHORT_CODE = re.compile(r"[A-Za-z]{1,3}(\d+)")  # P17, MRN0012


def is_final_letter(name: Name, index: int) -> bool:
    """Return whether R, L, RE or LE is an eye: in capitals, after a number, and last.

    Words for a part of the eye may follow.
    """
    token, before = name.tokens[index], name.at(index - 1)
    if not token.is_whole or not token.text.isupper() or index + 1 < name.end_of_core:
        return False
    if name.has_place_or_thing or _is_after_a_thing(name, index):
        return False
    is_after_number = before.text.isdecimal() or _is_short_code(before)
    return is_after_number and not _may_follow_a_birthday(name, index)


def is_born_later(name: Name, index: int) -> bool:
    """Return whether numbers follow of which a later one may be a year of birth: OS-12-1953."""
    for token in name.tokens[index + 1 :]:
        if not token.text.isdecimal():
            return False
        if BIRTHDAY.match(token.text):
            return True
    return False


def may_be_a_letter(name: Name, index: int) -> bool:
    """Return whether R, L, RE or LE may be an eye, and not an initial or a surname."""
    token, before, after = name.tokens[index], name.at(index - 1), name.at(index + 1)
    if not token.is_whole or before.has_digit:
        return True
    if len(token.text) > 1 and token.text.istitle():
        return False
    if name.is_eye(before):
        return True
    if after.text:
        return name.is_neutral(after)
    return name.has_digit


def _is_after_a_thing(name: Name, index: int) -> bool:
    """Return whether the number before R or L may be that of a group, a visit or the like.

    A patient's number has nothing before it, or a word for a patient or a photograph; behind any
    other word, which may be a surname, it is a number of four digits or more.
    """
    position, longest = index - 1, 0
    while name.at(position).text.isdecimal():
        longest = max(longest, len(name.at(position).text))
        position -= 1
    word = name.at(position)
    code = _SHORT_CODE.fullmatch(word.text)
    if code:
        word, longest = Token(word.text[: code.start(1)]), max(longest, len(code[1]))
    if len(word.text) <= 1 or word.folded in IMAGES or word.folded in PATIENTS:
        return False
    is_known = word.folded in ANATOMY or name.is_eye(word)
    return word.folded in NUMBERED or not (is_known or longest >= _LONG_NUMBER)


def _is_short_code(token: Token) -> bool:
    """Return whether a token is a code such as P17, and not a surname with a year of birth."""
    match = _SHORT_CODE.fullmatch(token.text)
    return match is not None and not BIRTHDAY.match(match[1])


def _may_follow_a_birthday(name: Name, index: int) -> bool:
    """Return whether a date before R, L, RE or LE may be a birthday: then it may be a name."""
    earlier = name.tokens[:index]
    has_person = any(name.may_be_a_person(token) for token in earlier)
    for position, token in enumerate(earlier):
        if BIRTHDAY.match(token.text):
            return True
        is_time = position > 0 and EXAM_DAY.match(earlier[position - 1].text)
        if has_person and not is_time and MAYBE_BIRTHDAY.match(token.text):
            return True
    return False
