"""Build the command line: all commands, or only the one that is typed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

import fundusd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# modules by command, in the order of --help: service, results, readers, site, model
_COMMANDS = {
    "run": "run",
    "demo": "demo",
    "check": "check",
    "status": "status",
    "results": "results",
    "show": "show",
    "worklist": "worklist",
    "person": "person",
    "reconcile": "reconcile",
    "retry": "retry",
    "classify": "classify",
    "bench": "bench",
    "man": "man",
}
# modules by group of commands, which --help lists after the commands
_GROUPS = {
    "report": "report",
    "review": "review",
    "correct": "correct",
    "follow-up": "follow_up",
    "outbox": "outbox",
    "quality": "quality",
    "model": "model",
    "config": "config",
    "db": "db",
    "audit": "audit",
}


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """Return the command line with the command that `words` begin with, or with all commands.

    To import and build all commands takes as long as a query of the database.
    """
    if words and words[0] in {*_COMMANDS, *_GROUPS}:
        return _built([words[0]])
    return _built([*_COMMANDS, *_GROUPS])


def _built(names: Iterable[str]) -> typer.Typer:
    app = typer.Typer(
        name="fundusd",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Watch a fundus camera's export folder, grade each capture for diabetic retinopathy, "
        "and keep results and an audit log.\n\n"
        "For research use only; not a medical device.\n\n"
        "Start with `fundusd demo`. `fundusd COMMAND --help` explains a command, with examples.",
    )
    app.callback()(_take_options)
    for name in names:
        if name in _COMMANDS:
            import_module(f"fundusd.cli.{_COMMANDS[name]}").add_to(app)
        else:
            group = import_module(f"fundusd.cli.{_GROUPS[name]}")
            app.add_typer(group.app, name=name)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fundusd {fundusd.__version__}")
        raise typer.Exit


def _take_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options of fundusd itself; its help is that of the Typer app."""
