"""fundusd run: the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.cli.layout import Command
from fundusd.cli.options import Config

if TYPE_CHECKING:
    import typer


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(run)


def run(config: Config = None) -> None:
    """Watch the inboxes and grade what arrives, in the foreground.

    This is what systemd starts. SIGTERM finishes the current batch and releases the other jobs; a
    second SIGTERM stops at once. SIGHUP reads the settings again, applies the log level and sweeps
    every inbox.

    Example:
      fundusd run --config /etc/fundusd/fundusd.toml
    """
    from fundusd.app import daemon, settings_file

    daemon.run(settings_file.path_of(config))
