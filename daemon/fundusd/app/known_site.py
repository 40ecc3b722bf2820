"""The identity of the site's database, kept in folders of the service to notice another database.

It is kept in the state folder and, under systemd, in the cache, too: if the state folder is a disk
that is not mounted, the service finds an empty folder in its place.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

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
    known = next(filter(None, map(_read, _files(settings))), "")
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
        hint="Correct [store] url, mount the disk of the database, or bring the database back."
        f" {ledger.database.restore_hint}"
        " If this database is meant: fundusd db adopt",
    )


def remember(settings: Settings, ledger: Ledger) -> None:
    """Write the identity of the database to the folders, so that each later start knows it.

    If a folder cannot be written, a warning is logged.
    """
    import structlog  # other commands ask for the site, too, and are to start fast

    for file in _files(settings):
        if _read(file) == ledger.site_identity:
            continue
        fresh = file.with_name(f"{file.name}.new")
        try:
            fresh.write_text(ledger.site_identity, encoding="ascii")
            fresh.replace(file)
        except OSError as error:
            structlog.get_logger(service="app").warning(
                "ledger.identity_unkept",
                error=f"{file} cannot be written ({error.strerror}).",
                hint="Let the user that fundusd runs as write to the folder: until then, a database"
                " that was begun anew may not be noticed at a start.",
            )


def _files(settings: Settings) -> list[Path]:
    """Return the files in systemd's folders or, without systemd, the one beside the site key.

    The first one that is there decides.
    """
    files = [state_folder(settings) / _NAME]
    state, cache = _folder("STATE_DIRECTORY"), _folder("CACHE_DIRECTORY")
    if state and cache:  # several services share the cache
        files.append(Path(cache) / f"{state.strip('/').replace('/', '-')}.{_NAME}")
    return files


def state_folder(settings: Settings) -> Path:
    """Return systemd's state folder or, without systemd, the folder of the site key."""
    return Path(_folder("STATE_DIRECTORY") or settings.privacy.site_key_file.parent)


def _folder(name: str) -> str:
    """Return the first of the folders that systemd names in an environment variable, or ""."""
    return os.environ.get(name, "").partition(":")[0]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
