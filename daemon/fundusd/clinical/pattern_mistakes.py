"""Say in plain words why a text is not a regular expression; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re

# by the beginning of the message of the module re
_WORDS = {
    "missing ), unterminated subpattern": "a ( is never closed",
    "unterminated character set": "a [ is never closed",
    "nothing to repeat": "there is nothing before the *, + or ? that it could repeat; "
    "any text is .* and not *",
    "multiple repeat": "a *, + or ? follows another one",
    "min repeat greater than max repeat": "in {m,n}, m must not be greater than n",
    "redefinition of group name": "two groups have the same name",
    "unknown extension": "a group must begin with (?P<name>, (?: or (",
    "bad escape (end of pattern)": "it ends with a single backslash",
    "bad escape": "a backslash stands before a letter that has no meaning with it",
    "bad character range": "in a range such as [a-z], the first character must be the lower one",
    "missing >": "the name of a group must end with >",
    "missing group name": "a group must have a name between < and >",
    "bad character in group name": "the name of a group must be a word without spaces",
    "unbalanced parenthesis": "a ) closes nothing",
    "unknown group name": "it refers to a group that it does not have",
    "invalid group reference": "it refers to a group that it does not have",
    "global flags not at the start": "flags such as (?i) must stand at its beginning",
    "look-behind requires fixed-width pattern": "a look-behind must have a fixed length",
}


def explain(error: re.error | OverflowError | RecursionError) -> str:
    """Return a phrase that says what is wrong with a regular expression, and where."""
    if isinstance(error, OverflowError):
        return "a number of repeats is too large"
    if isinstance(error, RecursionError):
        return "its groups are nested too deeply"
    phrase = error.msg
    for beginning, words in _WORDS.items():
        if error.msg.startswith(beginning):
            phrase = words
            break
    if error.pos is None:
        return phrase
    return f"{phrase}, at character {error.pos + 1}"
