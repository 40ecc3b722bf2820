"""Explain in plain words why a settings file is not TOML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fundusd.app.settings_mistakes import LISTED

if TYPE_CHECKING:
    import tomllib

_HEADING = re.compile(r"\s*\[\[?\s*([^\[\]]*?)\s*\]")
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")
_VALUE = (
    "the value must be text in quotes, a number such as 2.5, true, false, or a list in square "
    "brackets, with nothing after it"
)
_PAIR = 'each line must be a [section], or a key with a value: "key = value"'
# by the beginning of the parser's message
_WORDS = {
    "Invalid value": _VALUE,
    "Expected newline or end of document": _VALUE,
    "Expected '=' after a key": _PAIR,
    "Invalid statement": _PAIR,
    "Invalid initial character for a key": "a key must be letters, digits, hyphens or underscores",
    "Illegal character '\\n'": "text must end with a quote in the line in which it begins",
    "Unterminated string": "text must end with a quote, and a quote is missing",
    'Expected "\'"': "text must end with a quote, and a quote is missing",
    "Expected ']' at the end of a table": "a section's name must end with ]",
    "Expected ']]' at the end of an array": "a name that begins with [[ must end with ]]",
    "Unclosed array": "a list must end with ]",
    "Unescaped '\\' in a string": "a backslash in text must be written twice, or the text in "
    "single quotes",
    "Illegal character": "there is a control character in the line",
}
_SET_TWICE = ("Cannot declare", "Cannot overwrite", "Cannot mutate", "Cannot redefine", "Duplicate")


def explain(error: tomllib.TOMLDecodeError, text: str) -> str:
    """Return a phrase that names the line and says what is wrong with it."""
    match = _PLACE.fullmatch(str(error))
    if match is None:
        return str(error)
    message, number = match[1], match[2]
    lines = text.splitlines()
    if number is None:
        return f"at its end: {_words(message)}"
    line = lines[int(number) - 1] if int(number) <= len(lines) else ""
    if message.startswith(_SET_TWICE):
        return f"line {number}: {_repeated(line)}"
    return f"line {number}: {_words(message)}"


def _words(message: str) -> str:
    for beginning, words in _WORDS.items():
        if message.startswith(beginning):
            return words
    return message


def _repeated(line: str) -> str:
    """Return what to do about a section or a key that is there a second time."""
    heading = _HEADING.match(line)
    if heading is None:
        return f"{line.partition('=')[0].strip()} is set above already"
    section, _, part = heading[1].partition(".")
    if section in LISTED and not part:
        return f"each {section} must begin with [[{section}]], not with [{section}]"
    if section in LISTED:
        return f"[{heading[1]}] must come once after each [[{section}]]"
    return f"the section {section} is there above already; write all its keys there"
