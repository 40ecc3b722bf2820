"""Lay out help texts so that each example of a command stays on its own line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXAMPLES = "\n\nExample"
_KEEP_LINES = "\n\n\b\nExample"  # click rewraps every paragraph that does not begin with \b

# for the beginnings of the messages of pydantic, with which Typer checks values
_PLAIN_WORDS = (
    ("Input should be a valid integer", "must be a whole number"),
    ("Input should be a valid number", "must be a number"),
    ("Input should be less than or equal to ", "must be at most "),
    ("Input should be greater than or equal to ", "must be at least "),
)


class Command(TyperCommand):
    """A command whose docstring ends with examples, one per line."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.help = _with_lines_kept(self.help)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. Raises BadParameter, in plain words, if one is wrong."""
        with _plain_words():
            return super().parse_args(ctx, args)


class Group(TyperGroup):
    """A group of commands whose docstring ends with examples, one per line."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.help = _with_lines_kept(self.help)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. Raises BadParameter, in plain words, if one is wrong."""
        with _plain_words():
            return super().parse_args(ctx, args)


@contextmanager
def _plain_words() -> Iterator[None]:
    """Replace the words of pydantic in a BadParameter that the block raises."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = _in_plain_words(error.message)
        raise


def _in_plain_words(message: str) -> str:
    for start, words in _PLAIN_WORDS:
        if message.startswith(start):
            limit = message.removeprefix(start) if words.endswith(" ") else ""
            return words + limit
    return message


def _with_lines_kept(text: str | None) -> str | None:
    if text is None:
        return None
    return text.replace(_EXAMPLES, _KEEP_LINES, 1)
