"""fundusd man: print the manual page, which is made from the help texts."""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import typer

import fundusd
from fundusd.cli.layout import Command
from fundusd.domain.errors import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEEP_LINES = "\b\n"  # before a paragraph that is not to be filled
_ESCAPES = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", "…": "..."}
)
_EXITS = {
    ExitStatus.OK: "The command succeeded.",
    ExitStatus.NO: "The command ran, and the answer is no.",
    ExitStatus.USAGE: "The command cannot be carried out as typed.",
    ExitStatus.NO_INPUT: "There is no database to look into.",
    ExitStatus.UNAVAILABLE: "The model cannot be used, or a library is not installed.",
    ExitStatus.DEFECT: "A bug in fundusd.",
    ExitStatus.SYSTEM: "The system does not start a process that is needed.",
    ExitStatus.TEMPORARY: "A device or the database does not work now, or refuses this user.",
    ExitStatus.CONFIG: "The settings or the database are wrong.",
    ExitStatus.INTERRUPTED: "The command was interrupted.",
}
_FILES = {
    "/etc/fundusd/fundusd.toml": "The settings, unless --config or FUNDUSD_CONFIG names a file.",
    "/var/lib/fundusd": "The database and the site key.",
    "/var/cache/fundusd": "The model.",
    "/opt/fundusd/share/doc/fundusd": "The documentation.",
}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(man)


def man() -> None:
    """Print the manual page, for the program man.

    It is made from the texts of --help. `make install` installs it: man fundusd

    Example:
      fundusd man > /usr/local/share/man/man1/fundusd.1
    """
    print(page())


def page() -> str:
    """Return the manual page of all commands, in roff."""
    from fundusd.cli.commands import command_line

    root = typer.main.get_command(command_line())
    context = root.context_class(root, info_name="fundusd")
    summary, _, description = cleandoc(root.help or "").partition("\n\n")
    lines = [
        f'.TH FUNDUSD 1 "" "fundusd {fundusd.__version__}" "fundusd"',
        ".nh",  # what is typed is not hyphenated
        ".ad l",
        ".SH NAME",
        rf"fundusd \- {_text(summary)}",
        ".SH SYNOPSIS",
        r".B fundusd",
        r"\fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]",
        ".SH DESCRIPTION",
        *_paragraphs(description),
        ".SH OPTIONS",
        *_parameters(context),
        ".SH COMMANDS",
        *_commands(context),
        ".SH EXIT STATUS",
        *_definitions({str(int(status)): text for status, text in _EXITS.items()}),
        ".SH FILES",
        *_definitions(_FILES),
    ]
    return "\n".join(lines)


def _commands(context: Any) -> Iterator[str]:
    """Yield the subsections of a group's commands and of the commands in their groups."""
    for name, command in context.command.commands.items():
        below = command.context_class(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            yield from _commands(below)
            continue
        usage = " ".join(command.collect_usage_pieces(below))
        yield f".SS {_text(below.command_path)} {_text(usage)}"
        yield from _paragraphs(cleandoc(command.help or ""))
        yield from _parameters(below)


def _parameters(context: Any) -> Iterator[str]:
    """Yield the arguments and options of a command, with their help texts."""
    records = [parameter.get_help_record(context) for parameter in context.command.params]
    yield from _definitions(dict(filter(None, records)))


def _definitions(texts: dict[str, str]) -> Iterator[str]:
    for term, text in texts.items():
        yield from (".TP", rf"\fB{_text(term)}\fR", _text(text))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield ".PP"
        if paragraph.startswith(_KEEP_LINES):
            lines = paragraph.removeprefix(_KEEP_LINES).splitlines()
            yield from (".nf", *(_text(line) for line in lines), ".fi")
        else:
            yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    r"""Return text as roff shows it, whatever it begins with.

    >>> _text(".nf is no request, --json\\no escape")
    '\\&.nf is no request, \\-\\-json\\eno escape'
    """
    escaped = text.translate(_ESCAPES)
    return rf"\&{escaped}" if escaped.startswith(".") else escaped
