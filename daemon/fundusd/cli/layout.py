"""Lay out help texts so that each example of a command stays on its own line."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

_EXAMPLES = "\n\nExample"
_KEEP_LINES = "\n\n\b\nExample"  # click rewraps every paragraph that does not begin with \b


class Command(TyperCommand):
    """A command whose docstring ends with examples, one per line."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.help = _with_lines_kept(self.help)


class Group(TyperGroup):
    """A group of commands whose docstring ends with examples, one per line."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.help = _with_lines_kept(self.help)


def _with_lines_kept(text: str | None) -> str | None:
    if text is None:
        return None
    return text.replace(_EXAMPLES, _KEEP_LINES, 1)
