"""Which eye a capture shows, told by its name and by its content; when in doubt, unknown."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from fundusd.domain import Eye, EyeSource

_WORDS = {"OD": Eye.RIGHT, "RIGHT": Eye.RIGHT, "OS": Eye.LEFT, "LEFT": Eye.LEFT}
_LETTERS = {"R": Eye.RIGHT, "RE": Eye.RIGHT, "L": Eye.LEFT, "LE": Eye.LEFT}
_SEPARATORS = re.compile(r"[\W_]+")


def eye_from_name(path: str) -> tuple[Eye, EyeSource]:
    """Read the eye from whole words of the file's name, never from parts of words.

    OD, OS, RIGHT and LEFT count anywhere in the stem. R, L, RE and LE are also initials and
    surnames: they count in capitals, at the end, beside a number.

    >>> eye_from_name("P17/P17_Retina_OD_20260607_101500.jpg")
    (<Eye.RIGHT: 'R'>, <EyeSource.NAME: 'name'>)
    >>> eye_from_name("Tran_LE.jpg")
    (<Eye.UNKNOWN: 'U'>, <EyeSource.NONE: 'none'>)
    """
    tokens = [token for token in _SEPARATORS.split(PurePosixPath(path).stem) if token]
    eyes = {_WORDS[token.upper()] for token in tokens if token.upper() in _WORDS}
    if tokens and tokens[-1] in _LETTERS and any(token.isdecimal() for token in tokens):
        eyes.add(_LETTERS[tokens[-1]])
    if len(eyes) > 1:
        return Eye.UNKNOWN, EyeSource.CONFLICT
    return (eyes.pop(), EyeSource.NAME) if eyes else (Eye.UNKNOWN, EyeSource.NONE)


def resolve(
    content_eye: Eye, content_source: EyeSource, name_eye: Eye, name_source: EyeSource
) -> tuple[Eye, EyeSource]:
    """Settle on one eye from what content and name say; sources that disagree make it unknown.

    >>> resolve(Eye.LEFT, EyeSource.IMAGE_LATERALITY, Eye.RIGHT, EyeSource.NAME)
    (<Eye.UNKNOWN: 'U'>, <EyeSource.CONFLICT: 'conflict'>)
    """
    if name_source is EyeSource.NONE:
        return content_eye, content_source
    if content_source is EyeSource.NONE:
        return name_eye, name_source
    if content_eye is name_eye and EyeSource.CONFLICT not in {content_source, name_source}:
        return content_eye, content_source
    return Eye.UNKNOWN, EyeSource.CONFLICT
