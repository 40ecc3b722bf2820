"""Split paths into parts, and names into the tokens from which an eye may be read; pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fundusd.clinical.copy_marks import without_extensions
from fundusd.clinical.eye_languages import COMPOUNDS, EYE_NOUNS, NATIVE_WORDS, fold
from fundusd.clinical.eye_words import (
    ABBREVIATIONS,
    ANATOMY,
    CODES,
    DIRECTIONS,
    IMAGES,
    LETTERS,
    NEUTRAL,
    THINGS,
    WORDS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# stands for bytes that are not UTF-8; it is a letter, so that text next to it is not a whole word
UNDECODED = "\u00aa"
_UNDECODABLE = re.compile(r"(?:\\x[0-9a-f]{2})+")
# an accent belongs to the letter before it
# (with the vowel signs of Hebrew, Arabic, Indian and other Asian scripts, and joiners)
_MARKS = (
    r"\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    r"\u06d6-\u06ed\u0711-\u074a\u07a6-\u07b0\u0900-\u0963\u0966-\u0df3\u0e00-\u0e4e\u0e80-\u0ece"
    r"\u0f18-\u0fbc\u1000-\u109f\u1780-\u17d3\u200c\u200d"
)
_SEPARATORS = re.compile(rf"(?:[^\w{_MARKS}]|_)+")
_QUESTION_MARKS = re.compile("[?\u00bf\u061f]")
# scripts that are written without blanks: kana, Chinese characters, Korean syllables
_UNSPACED = re.compile(r"([\u3005\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+)")
_DATES = (
    re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)([-._ ])(?P<month>\d\d?)\2(?P<day>\d\d?)(?!\d)"),
    re.compile(r"(?<!\d)(?P<day>\d\d?)([-._ ])(?P<month>\d\d?)\2(?P<year>(?:19|20)\d\d)(?!\d)"),
    re.compile(r"(?<!\d)(?P<day>\d\d)([-.])(?P<month>\d\d)\2(?P<year>\d\d)(?!\d)"),
)
_LAST_MONTH, _LAST_DAY = 12, 31

_CODE_AND_COUNTER = re.compile(
    r"(OD|OS|OU|OI|OE|OG|RGT|LFT|RT|LT|RE|LE|R|L)(\d{1,3})", re.IGNORECASE
)
_NUMBER_CODE_COUNTER = re.compile(r"(\d+)(OD|OS|OI|OE|OG)(\d{1,2})?", re.IGNORECASE)
_CODE_AND_NUMBER = re.compile(r"(OD|OS)(\d{4,})", re.IGNORECASE)
_CODE_AND_NOUN = re.compile(r"(OD|OS)(disc|disk|eye|fovea|fundus|mac|macula|retina)")
_NUMBER_AND_CODE = re.compile(r"([A-Z]*)(\d+)(OD|OS|RE|LE|R|L)", re.IGNORECASE)
_LONG_INITIALS = 4  # letters; shorter ones before a number are those of an identifier
_KNOWN = NEUTRAL | ANATOMY | EYE_NOUNS | DIRECTIONS | THINGS
_HUMPS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+")
_COMPOUND_PARTS = re.compile(
    r"left|right|eye|macula|fundus|disc|disk|retina|fovea|onh|image|img|photo|\d+", re.IGNORECASE
)


@dataclass(frozen=True)
class Token:
    """A word, number or code in a name.

    `is_whole` is false for a part of a longer word: such an eye can only contradict.
    """

    text: str
    is_whole: bool = True

    @cached_property
    def folded(self) -> str:
        """Return the text in small letters without accents."""
        return fold(self.text)

    @cached_property
    def has_digit(self) -> bool:
        """Return whether the token is a number or a code."""
        return any(letter.isdecimal() for letter in self.text)


def parts_of(path_text: str) -> list[str]:
    r"""Split a path into its parts, and remove the extensions of captures from the file's name.

    >>> parts_of("P17/P17_OD.dcm.jpg"), parts_of("P17\\P17_OD.JPG")
    (['P17', 'P17_OD'], ['P17', 'P17_OD'])
    """
    text = _half_width(_UNDECODABLE.sub(UNDECODED, path_text))
    *folders, name = unicodedata.normalize("NFC", text).replace("\\", "/").split("/")
    return [*filter(None, folders), without_extensions(name)]


def _half_width(text: str) -> str:
    """Return a text with full-width letters and digits as ordinary ones.

    No other compatibility character is replaced: the long s is not an s. A full-width slash stays,
    because it does not separate folders.
    """
    if text.isascii():
        return text
    letters: list[str] = []
    for letter in text:
        if unicodedata.decomposition(letter).startswith(("<wide>", "<narrow>")):
            ordinary = unicodedata.normalize("NFKC", letter)
            if ordinary not in {"/", "\\"}:
                letter = ordinary  # noqa: PLW2901  the letter to keep
        letters.append(letter)
    return "".join(letters)


def tokens_of(name: str) -> list[Token]:
    """Split a name into words, numbers and codes; a date becomes one number, YYYYMMDD.

    A question mark becomes a word of doubt.
    """
    name = _QUESTION_MARKS.sub(" maybe ", name)
    for pattern in _DATES:
        name = pattern.sub(_joined_date, name)
    tokens: list[Token] = []
    for word in _SEPARATORS.split(name):
        for piece in filter(None, _UNSPACED.split(word)):
            before = tokens[-1].text if tokens else ""
            tokens.extend(_pieces(piece, before))
    return tokens


def _joined_date(match: re.Match[str]) -> str:
    day, month = int(match["day"]), int(match["month"])
    if not (1 <= month <= _LAST_MONTH and 1 <= day <= _LAST_DAY):
        return match[0]
    return f"_{match['year']}{month:02}{day:02}_"


def _pieces(word: str, before: str) -> Iterable[Token]:
    """Return the tokens of a word between separators, given the token before it."""
    match = _CODE_AND_COUNTER.fullmatch(word)
    if match:
        return (Token(match[1]), Token(match[2]))
    match = _CODE_AND_NUMBER.fullmatch(word)
    if match:
        return (Token(match[1], is_whole=False), Token(match[2]))
    match = _NUMBER_CODE_COUNTER.fullmatch(word)
    if match:
        return map(Token, filter(None, match.groups()))
    if word.lower() in COMPOUNDS:
        return map(Token, COMPOUNDS[word.lower()])
    match = _NUMBER_AND_CODE.fullmatch(word)
    if match:
        return _numbered(match, before)
    match = _CODE_AND_NOUN.fullmatch(word)
    if match:
        return (Token(match[1]), Token(match[2]))
    compound = _COMPOUND_PARTS.findall(word)
    if "".join(compound) == word and len(compound) > 1:
        return [Token(part) for part in compound]
    return _humps(word)


def _numbered(match: re.Match[str], before: str) -> Iterator[Token]:
    """Yield the tokens of a number with a letter or code, as in IMG_0001R or RET002OD.

    The code is a token of its own only if the number is that of an image.
    """
    prefix, number, code = match.groups()
    is_image = fold(prefix or before) in IMAGES and len(number) > 1
    if not is_image and code.upper() in LETTERS and prefix:
        yield Token(prefix + number)
    elif prefix:
        yield Token(prefix)
        yield Token(number)
    else:
        yield Token(number)
    yield Token(code, is_whole=is_image)


def _humps(word: str) -> Iterable[Token]:
    """Return the tokens of a word in camel case, if one of them may mean an eye.

    Where another part of the word is unknown, as in McLeft, the eye is not a whole word.
    """
    if word.lower() == "macos":  # the system, not the macula of the left eye
        return [Token(word)]
    parts = _HUMPS.findall(word)
    if len(parts) < 2 or "".join(parts) != word or not _has_eye(parts):  # noqa: PLR2004  a hump
        return [Token(word)]
    if _are_known(parts):
        return [Token(part) for part in parts]
    tokens: list[Token] = []
    for part in parts:
        tokens.append(Token(part, is_whole=not _is_eye(part)))
    return tokens


def _are_known(parts: Sequence[str]) -> bool:
    """Return whether all parts of a word are those of an eye's name, as in S17RightEye."""
    words: list[str] = []
    for part, after in zip(parts, [*parts[1:], ""], strict=True):
        is_initial = part.isupper() and len(part) < _LONG_INITIALS and not _is_eye(part)
        if part.isdecimal() or (is_initial and after.isdecimal()):
            continue
        if not _is_known(part):
            return False
        words.append(part)
    return len(words) > 1 or (bool(words) and words[0].upper() not in CODES)


def _is_eye(part: str) -> bool:
    return part.upper() in LETTERS or part.upper() in CODES or part.upper() in WORDS


def _has_eye(parts: Sequence[str]) -> bool:
    for part in parts:
        if part.upper() in WORDS or part in CODES or fold(part) in NATIVE_WORDS:
            return True
        is_side = part in {"R", "L"} or part.upper() in ABBREVIATIONS  # eyeL, LtEye
        if is_side and any(fold(other) in ANATOMY for other in parts):
            return True
    return False


def _is_known(part: str) -> bool:
    word = fold(part)
    if part.upper() in WORDS or part.upper() in CODES:
        return True
    return word in NATIVE_WORDS or word in _KNOWN
