"""The identity of the site's database, kept in the state folder to notice another database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from fundusd.domain.errors import LedgerUnfit

if TYPE_CHECKING:
    from fundusd.app.settings import Settings
    from fundusd.ledger import Ledger

_NAME = "site.identity"


def require_known(settings: Settings, ledger: Ledger) -> None:
    """Raise LedgerUnfit if the database is not the one that this site had before.

    That is so if it is empty or absent, too. Nothing is raised at the first start of a site, or if
    an operator has adopted the database.
    """
    known = _read(_file(settings))
    if not known:
        return
    site = ledger.site()
    if site is not None and (site.is_adopted or site.identity == known):
        return
    difference = "is empty or does not exist"
    if site is not None:
        difference = "belongs to another site, or was begun anew"
    raise LedgerUnfit(
        f"The database {ledger.database.shown} {difference}; this site has worked on another one.",
        hint=f"Correct [store] url, or bring the database back. {ledger.database.restore_hint}"
        " If this database is meant: fundusd db adopt",
    )


def remember(settings: Settings, ledger: Ledger) -> None:
    """Write the identity of the database to the state folder, so that each later start knows it.

    If the folder cannot be written, a warning is logged.
    """
    file = _file(settings)
    if _read(file) == ledger.site_identity:
        return
    fresh = file.with_name(f"{_NAME}.new")
    try:
        fresh.write_text(ledger.site_identity, encoding="ascii")
        fresh.replace(file)
    except OSError as error:
        structlog.get_logger(service="app").warning(
            "ledger.identity_unkept",
            error=f"{file} cannot be written ({error.strerror}).",
            hint="Let the user that fundusd runs as write to the folder: until then, a database"
            " that was begun anew is not noticed at a start.",
        )


def _file(settings: Settings) -> Path:
    """Return the file in systemd's state folder or, without systemd, beside the site key."""
    folder = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(folder or settings.privacy.site_key_file.parent) / _NAME


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
