"""fundusd config: show the settings in force."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from fundusd.cli.layout import Command, Group
from fundusd.cli.options import Config, Json, load
from fundusd.cli.output import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.app.settings_listing import Entry

app = typer.Typer(cls=Group, no_args_is_help=True)


@app.callback()
def config() -> None:
    """Show the settings in force."""


@app.command(cls=Command)
def show(config: Config = None, json: Json = False) -> None:
    """Show every setting in force, and where it comes from.

    A setting comes from the settings file or is the default. Prints TOML, which can be used as a
    settings file. Secrets are masked.

    Examples:
      fundusd config show
      fundusd config show | grep file
    """
    from fundusd.app import settings_file
    from fundusd.app.settings_listing import entries

    settings = list(entries(load(config)))
    if json:
        print(as_json([asdict(entry) for entry in settings]))
        return
    print(f"# the settings of {settings_file.path_of(config)}, and the defaults of all others")
    _print(settings)


def _print(settings: Sequence[Entry]) -> None:
    section = None
    for entry in settings:
        if (entry.heading, entry.number) != section:
            section = (entry.heading, entry.number)
            print(f"\n{entry.heading}")
        print(entry.line)
