"""Which eye a capture shows, told by its name and by its content; when in doubt, unknown."""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WORDS = {"OD": Eye.RIGHT, "RIGHT": Eye.RIGHT, "OS": Eye.LEFT, "LEFT": Eye.LEFT}
_LETTERS = {"R": Eye.RIGHT, "RE": Eye.RIGHT, "L": Eye.LEFT, "LE": Eye.LEFT}
# olho esquerdo, ojo izquierdo, oeil gauche; the right eye is OD there, too. Oe, Oi and Og are surnames, og is a word
_ROMANCE = {"OE": Eye.LEFT, "OI": Eye.LEFT, "OG": Eye.LEFT}
# "van Os" and "Os, Anna" are people: a word before or after OD and OS tells them from eyes
_BEFORE_SURNAMES = {
    *("AL", "BEN", "BIN", "DA", "DE", "DEL", "DEN", "DER", "DI"),
    *("DU", "EL", "LA", "LE", "TEN", "TER", "VAN", "VON"),
}
_OF_CAMERAS = {
    *(
        "CAMERA",
        "CENTERED",
        "CENTRED",
        "CFP",
        "COLOR",
        "COLOUR",
        "COPY",
        "DISC",
        "DISK",
        "EXAM",
        "EYE",
        "FOVEA",
    ),
    *(
        "FUNDUS",
        "IMAGE",
        "IMG",
        "MAC",
        "MACULA",
        "MERGE",
        "NASAL",
        "ONH",
        "PHOTO",
        "POSTERIOR",
        "RETINA",
        "SCAN",
    ),
    *("SCLERA", "SERIES", "STUDY", "SUBJECT", "TEMPORAL", "VISIT"),
}
_BIRTHDAY = re.compile(
    r"(?:19[0-8]\d(?:\d{4})?|\d{4}19[0-8]\d)$"
)  # nobody exported digital photographs then
_EXAM_DAY = re.compile(r"(?:199\d|20\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$")
_SEPARATORS = re.compile(r"(?:[^\w\u0300-\u036f]|_)+")  # an accent belongs to the letter before it
_EXTENSIONS = re.compile(r"(?:\.(?:jpe?g|jpe|png|tiff?|dcm|dicom|e2e))+$", re.IGNORECASE)
_UNDECODABLE = re.compile(r"(?:\\x[0-9a-f]{2})+")
UNDECODED = "\u00aa"  # stands for bytes that are no UTF-8: a letter, so that none of their neighbours is a whole word


class _Told(IntEnum):
    """How far a word is to be believed."""

    HARDLY = 0  # it can contradict the rest of its name
    LIKELY = 1  # it can contradict the camera, too
    SURE = 2


def parts_of(path_text: str) -> list[str]:
    r"""Split a path into its folders and its file's name, without the extensions of captures.

    >>> parts_of("P17/P17_OD.dcm.jpg"), parts_of("P17\\P17_OD.JPG")
    (['P17', 'P17_OD'], ['P17', 'P17_OD'])
    """
    text = unicodedata.normalize("NFC", _UNDECODABLE.sub(UNDECODED, path_text))
    *folders, name = text.replace("\\", "/").split("/")
    return [*filter(None, folders), _EXTENSIONS.sub("", name)]


def eye_of_word(word: str) -> Eye | None:
    """Return the eye that a word by itself stands for; None for any other word.

    >>> eye_of_word("od"), eye_of_word("LE"), eye_of_word("ROSA")
    (<Eye.RIGHT: 'R'>, <Eye.LEFT: 'L'>, None)
    """
    return (_WORDS | _LETTERS | _ROMANCE).get(word.upper()) if word.isascii() else None


def eye_from_words(parts: Sequence[str]) -> tuple[Eye, EyeSource]:
    """Read the eye from whole words of a path's last part, never from parts of words.

    OD, OS, RIGHT and LEFT count anywhere in the name; OD and OS not where they may be a surname. R, L, RE and LE
    are initials and surnames more often: they count in capitals, at the end, next to a number. OE, OI and OG can only
    contradict, and so can a folder that is called by an eye.

    >>> eye_from_words(["P17", "P17_Retina_OD_20260607_101500"])
    (<Eye.RIGHT: 'R'>, <EyeSource.NAME: 'name'>)
    >>> eye_from_words(["12_Tran_LE"])
    (<Eye.UNKNOWN: 'U'>, <EyeSource.NONE: 'none'>)
    """
    *folders, name = parts
    tokens = [token for token in _SEPARATORS.split(name) if token]
    told = list(_told(tokens))
    against = {eye for folder in folders if (eye := _word(folder))}
    sure = {eye for eye, how in told if how is _Told.SURE}
    if len({eye for eye, _ in told} | (against if sure else set())) > 1:
        return Eye.UNKNOWN, EyeSource.CONFLICT
    return (sure.pop(), EyeSource.NAME) if sure else (Eye.UNKNOWN, EyeSource.NONE)


def likely_eye(name: str) -> Eye | None:
    """Return the eye that a name tells unless it is a surname: not enough to go by, but enough to contradict.

    >>> likely_eye("JAN_OS_1950"), likely_eye("JAN_VAN_OS_1950")
    (<Eye.LEFT: 'L'>, None)
    """
    told = set(_told([token for token in _SEPARATORS.split(name) if token]))
    likely = {eye for eye, how in told if how is _Told.LIKELY}
    return likely.pop() if len({eye for eye, _ in told}) == 1 and likely else None


def _word(token: str) -> Eye | None:
    return _WORDS.get(token.upper()) if token.isascii() else None


def _told(tokens: Sequence[str]) -> Iterator[tuple[Eye, _Told]]:
    """Yield each eye that is told, and how far it is to be believed."""
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        if eye := _word(token):
            is_plain = token.upper() in {"LEFT", "RIGHT"}
            yield eye, _Told.SURE if is_plain else _beside(before, token, after)
        elif token.isascii() and token.upper() in _ROMANCE:
            yield _ROMANCE[token.upper()], _Told.HARDLY
    if tokens and tokens[-1] in _LETTERS and any(token.isdecimal() for token in tokens):
        is_next = tokens[-2].isdecimal() and not _BIRTHDAY.match(tokens[-2])
        yield _LETTERS[tokens[-1]], _Told.SURE if is_next else _Told.HARDLY


def _beside(before: str, token: str, after: str) -> _Told:
    """Tell by its neighbours how far OD or OS is an eye, and not a surname."""
    mixed = token not in {token.upper(), token.lower()}
    if mixed or before.upper() in _BEFORE_SURNAMES or _may_be_a_name(after):
        return _Told.HARDLY
    alone = not before and _BIRTHDAY.match(after)
    # where an eye stands: last, or before the date of the photograph
    closes = token.isupper() and (not after or _EXAM_DAY.match(after))
    return _Told.LIKELY if alone or (_may_be_a_name(before) and not closes) else _Told.SURE


def _may_be_a_name(word: str) -> bool:
    return word.isalpha() and word.upper() not in _OF_CAMERAS and _word(word) is None
