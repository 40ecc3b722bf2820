"""Replace or escape the characters that the encoding of a terminal or a pipe does not have."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

_HANDLER = "fundusd.replace_or_escape"
# of the characters that fundusd itself prints
_REPLACEMENTS = {"█": "#", "·": ".", "…": "...", "≥": ">="}


def never_fail(stream: TextIO | None) -> None:
    """Let a stream replace what it cannot encode, rather than raise UnicodeEncodeError."""
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error(_HANDLER, _replace)
        stream.reconfigure(errors=_HANDLER)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    parts = []
    for character in text:
        parts.append(_REPLACEMENTS.get(character) or ascii(character)[1:-1])
    return "".join(parts), error.end
