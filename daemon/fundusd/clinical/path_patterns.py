"""The regular expressions by which paths are read, and which of an operator's are refused; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.clinical.pattern_mistakes import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

# named groups of a pattern
GROUPS = ("patient", "person", "eye", "field", "date", "time")

_LONGEST_PATH = 255  # characters; matching time grows with up to the third power
_MAX_OPEN_REPEATS = 3

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_OPEN_REPEAT = re.compile(
    r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\]*+{}()|?])(?:[*+]|\{\d*,\})(?=[?+]?\)*(.?))",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression for the end of a path.

    The end consists of the file's name and one folder for each slash in the expression.
    """

    regex: re.Pattern[str]
    folders: int

    def match(self, parts: Sequence[str]) -> re.Match[str] | None:
        """Return the match for the end of a path, trying the largest number of folders first."""
        for count in range(min(self.folders + 1, len(parts)), 0, -1):
            end = "/".join(parts[-count:])
            if len(end) > _LONGEST_PATH:
                continue
            match = self.regex.fullmatch(end)
            if match:
                return match
        return None


def compiled(text: str) -> Pattern:
    """Compile an operator's pattern.

    If the pattern is not allowed, raises a ValueError that says what is wrong.

    >>> compiled("(?P<patient>[^_]+)_(?P<eye>OD|OS)").folders
    0
    """
    try:
        pattern = pattern_of(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a regular expression: {explain(error)}") from None
    if not pattern.regex.groupindex or set(pattern.regex.groupindex) - set(GROUPS):
        raise ValueError(
            "must have named groups, such as (?P<eye>OD|OS), "
            f"and no groups except {', '.join(GROUPS)}"
        )
    if re.search(r"\)(?:[*+]|\{)", _bare(text)):
        raise ValueError(
            "must not repeat a group, as in (…)+: an unusual name could take years to match"
        )
    if _count_open_repeats(text) > _MAX_OPEN_REPEATS:
        raise ValueError(
            f"has more than {_MAX_OPEN_REPEATS} unbounded repeats: "
            "write [^_]+_ for text that ends at the next _, or set a limit as in {1,20}"
        )
    return pattern


def pattern_of(text: str, flags: int = 0) -> Pattern:
    """Compile the pattern of a convention, which is not checked.

    >>> pattern_of("(?P<patient>[^/]+)/[^/]+").folders
    1
    """
    return Pattern(re.compile(text, flags), _bare(text).count("/"))


def _bare(text: str) -> str:
    """Return a regular expression with each escape and character class replaced by a letter."""
    return _CLASS.sub("x", _ESCAPE.sub("x", text.replace(r"\/", "/")))


def _count_open_repeats(text: str) -> int:
    """Count the unbounded repeats that make matching slow.

    Repeats of digits do not count, nor do repeats that the next character always ends.
    """
    count = 0
    for atom, after in _OPEN_REPEAT.findall(text):
        is_ended = atom.startswith("[^") and after and after in atom[2:]
        if atom != r"\d" and not is_ended:
            count += 1
    return count
