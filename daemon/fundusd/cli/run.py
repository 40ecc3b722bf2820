"""fundusd run: run the daemon."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

from fundusd.cli.layout import Command
from fundusd.cli.options import Config, load

if TYPE_CHECKING:
    import typer

_FIRST_PROCESS = 1  # of a container
_OBJECTS = 20_000  # between two collections of garbage; other commands end before they need one


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(run)


def run(config: Config = None) -> None:
    """Watch the inboxes and grade what arrives, in the foreground.

    This is the command that systemd starts. On SIGTERM, the daemon finishes the current batch and
    releases the other jobs; on a second SIGTERM, it stops at once. On SIGHUP, it rereads the
    settings, applies the log level and sweeps every inbox.

    Example:
      fundusd run --config /etc/fundusd/fundusd.toml
    """
    if not _is_user_chosen():
        load(config)  # and go on as the service does
    from fundusd.app import daemon, settings_file

    gc.set_threshold(_OBJECTS)
    daemon.run(settings_file.path_of(config))


def _is_user_chosen() -> bool:
    """Return whether systemd or a container has started this as the user that is meant.

    Login shells inherit most variables of systemd, but not the process that this one names.
    """
    pid = os.getpid()
    return pid == _FIRST_PROCESS or os.environ.get("SYSTEMD_EXEC_PID") == str(pid)
