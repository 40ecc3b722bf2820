"""Read the eye from the words in a path; if in doubt, the eye is unknown; pure."""

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
# olho esquerdo, ojo izquierdo, oeil gauche; the right eye is OD in these languages, too. But Oe, Oi
# and Og are also surnames, and og is a word
_ROMANCE = {"OE": Eye.LEFT, "OI": Eye.LEFT, "OG": Eye.LEFT}
# "van Os" and "Os, Anna" are people; the word before or after OD or OS shows whether it is a name
_BEFORE_SURNAMES = {
    "AL", "BEN", "BIN", "DA", "DE", "DEL", "DEN", "DER", "DI",
    "DU", "EL", "LA", "LE", "TEN", "TER", "VAN", "VON",
}  # fmt: skip
_OF_CAMERAS = {
    "CAMERA", "CENTERED", "CENTRED", "CFP", "COLOR", "COLOUR", "COPY", "DISC", "DISK", "EXAM",
    "EYE", "FOVEA", "FUNDUS", "IMAGE", "IMG", "MAC", "MACULA", "MERGE", "NASAL", "ONH", "PHOTO",
    "POSTERIOR", "RETINA", "SCAN", "SCLERA", "SERIES", "STUDY", "SUBJECT", "TEMPORAL", "VISIT",
}  # fmt: skip
# no camera exported digital photographs in these years
_BIRTHDAY = re.compile(r"(?:19[0-8]\d(?:\d{4})?|\d{4}19[0-8]\d)$")
_EXAM_DAY = re.compile(r"(?:199\d|20\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$")
_SEPARATORS = re.compile(r"(?:[^\w\u0300-\u036f]|_)+")  # an accent belongs to the letter before it
_EXTENSIONS = re.compile(r"(?:\.(?:jpe?g|jpe|png|tiff?|dcm|dicom|e2e))+$", re.IGNORECASE)
_UNDECODABLE = re.compile(r"(?:\\x[0-9a-f]{2})+")
# stands for bytes that are not UTF-8; it is a letter, so that text next to it is not a whole word
UNDECODED = "\u00aa"


class _Certainty(IntEnum):
    """How certain it is that a word stands for an eye."""

    DOUBTFUL = 0  # the word can only contradict other words of the name
    LIKELY = 1  # the word can also contradict the camera
    CERTAIN = 2


def parts_of(path_text: str) -> list[str]:
    r"""Split a path into its parts, and remove the extensions of captures from the file's name.

    >>> parts_of("P17/P17_OD.dcm.jpg"), parts_of("P17\\P17_OD.JPG")
    (['P17', 'P17_OD'], ['P17', 'P17_OD'])
    """
    text = unicodedata.normalize("NFC", _UNDECODABLE.sub(UNDECODED, path_text))
    *folders, name = text.replace("\\", "/").split("/")
    return [*filter(None, folders), _EXTENSIONS.sub("", name)]


def eye_of_word(word: str) -> Eye | None:
    """Return the eye that a word by itself stands for, or None for any other word.

    >>> eye_of_word("od"), eye_of_word("LE"), eye_of_word("ROSA")
    (<Eye.RIGHT: 'R'>, <Eye.LEFT: 'L'>, None)
    """
    return _look_up(word, _WORDS | _LETTERS | _ROMANCE)


def eye_from_words(parts: Sequence[str]) -> tuple[Eye, EyeSource]:
    """Return the eye given by whole words in a path, and its source.

    Parts of words never count.

    OD, OS, RIGHT and LEFT count anywhere in the name, but OD and OS do not count where they may be
    surnames. R, L, RE and LE are usually initials or surnames, so they count only if they are in
    capitals and end the name after a number. OE, OI and OG, and a folder named after an eye, can
    only contradict the name.

    >>> eye_from_words(["P17", "P17_Retina_OD_20260607_101500"])
    (<Eye.RIGHT: 'R'>, <EyeSource.NAME: 'name'>)
    >>> eye_from_words(["12_Tran_LE"])
    (<Eye.UNKNOWN: 'U'>, <EyeSource.NONE: 'none'>)
    """
    *folders, name = parts
    eyes: set[Eye] = set()
    certain: set[Eye] = set()
    for eye, certainty in _eyes_of_tokens(_tokens(name)):
        eyes.add(eye)
        if certainty is _Certainty.CERTAIN:
            certain.add(eye)
    if certain:
        eyes.update(_eyes_of_folders(folders))
    if len(eyes) > 1:
        return Eye.UNKNOWN, EyeSource.CONFLICT
    if not certain:
        return Eye.UNKNOWN, EyeSource.NONE
    return certain.pop(), EyeSource.NAME


def likely_eye(name: str) -> Eye | None:
    """Return the eye suggested by a word that may also be a surname, or None if no eye is likely.

    Such a word is not enough to determine the eye, but enough to contradict another source.

    >>> likely_eye("JAN_OS_1950"), likely_eye("JAN_VAN_OS_1950")
    (<Eye.LEFT: 'L'>, None)
    """
    eyes: set[Eye] = set()
    is_likely = False
    for eye, certainty in _eyes_of_tokens(_tokens(name)):
        eyes.add(eye)
        is_likely = is_likely or certainty is _Certainty.LIKELY
    if is_likely and len(eyes) == 1:
        return eyes.pop()
    return None


def _tokens(name: str) -> list[str]:
    return [token for token in _SEPARATORS.split(name) if token]


def _look_up(word: str, eyes: dict[str, Eye]) -> Eye | None:
    """Return the eye that `eyes` gives for a word in upper or lower case, or None.

    Only ASCII words are looked up, because `upper` turns some other letters into ASCII.
    """
    if not word.isascii():
        return None
    return eyes.get(word.upper())


def _eyes_of_folders(folders: Sequence[str]) -> Iterator[Eye]:
    for folder in folders:
        eye = _look_up(folder, _WORDS)
        if eye:
            yield eye


def _eyes_of_tokens(tokens: Sequence[str]) -> Iterator[tuple[Eye, _Certainty]]:
    """Yield each eye that a word in the name may stand for, and how certain this is."""
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        eye = _look_up(token, _WORDS)
        if eye is None:
            eye = _look_up(token, _ROMANCE)
            if eye:
                yield eye, _Certainty.DOUBTFUL
        elif token.upper() in {"LEFT", "RIGHT"}:
            yield eye, _Certainty.CERTAIN
        else:
            yield eye, _certainty_beside(before, token, after)
    if tokens and tokens[-1] in _LETTERS and any(token.isdecimal() for token in tokens):
        certainty = _Certainty.DOUBTFUL
        if tokens[-2].isdecimal() and not _BIRTHDAY.match(tokens[-2]):
            certainty = _Certainty.CERTAIN
        yield _LETTERS[tokens[-1]], certainty


def _certainty_beside(before: str, token: str, after: str) -> _Certainty:
    """Return how certain it is that OD or OS means an eye, judging by the words beside it."""
    is_mixed_case = token not in {token.upper(), token.lower()}
    if is_mixed_case or before.upper() in _BEFORE_SURNAMES or _may_be_a_name(after):
        return _Certainty.DOUBTFUL
    if not before and _BIRTHDAY.match(after):
        return _Certainty.LIKELY
    # an eye is usually last or before the date of the photograph
    is_in_place = token.isupper() and (not after or _EXAM_DAY.match(after))
    if _may_be_a_name(before) and not is_in_place:
        return _Certainty.LIKELY
    return _Certainty.CERTAIN


def _may_be_a_name(word: str) -> bool:
    return word.isalpha() and word.upper() not in _OF_CAMERAS and _look_up(word, _WORDS) is None
