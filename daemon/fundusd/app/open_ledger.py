"""Open the ledger that the settings name."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from fundusd.app import known_site, site_key
from fundusd.domain.errors import LedgerAway, LedgerError, LedgerForbidden, SettingsError
from fundusd.files.filesystem import is_network_filesystem
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.app.settings import Settings
    from fundusd.clinical.camera_database import Lookup
    from fundusd.clinical.path_rules import Naming


@contextmanager
def opened_ledger(
    settings: Settings, *, to_work: bool = False, to_upgrade: bool = False
) -> Iterator[Ledger]:
    """Open the ledger while the block runs.

    If `to_work` is true, the ledger is opened for the daemon, which admits and grades captures of
    the cameras in the settings. If `to_upgrade` is true, it can read the names of their captures.
    Raises LedgerError if the database cannot be used, or SettingsError if the settings are wrong.
    """
    _require_local_disk(settings)
    naming: dict[str, Naming] = {}
    lookups: dict[str, Lookup] = {}
    key = b""
    if to_work:
        _require_no_lost_key(settings)
        key = site_key.read_or_create(settings.privacy.site_key_file)
        for camera in settings.camera:
            if camera.own_database is not None:
                lookups[camera.id] = camera.own_database
    if to_work or to_upgrade:  # other commands read no names, and start faster
        naming = {camera.id: camera.naming for camera in settings.camera}
    ledger = Ledger(
        settings.store.url,
        password=settings.store.password(),
        site_key=key,
        cameras=tuple(naming) if to_work else (),
        naming=naming,
        confirmed_share=settings.reading.confirmed_share,
        expected_fields={camera.id: camera.all_expected_fields for camera in settings.camera},
        field_protocols={camera.id: camera.fields for camera in settings.camera},
        lookups=lookups,
        issuer=settings.privacy.issuer,
        pseudonymous=settings.privacy.identifiers == "pseudonymous",
        subscriptions=settings.subscriptions,
    )
    try:
        yield ledger
    finally:
        ledger.close()


def _require_no_lost_key(settings: Settings) -> None:
    """Raise SettingsError if the site key is gone while rows made with it exist.

    A new key is written only if there is none to restore. Raises LedgerUnfit if the database of the
    site is gone, too, because then the folder of both may be a disk that is not mounted. A database
    that cannot be read now is checked again later.
    """
    file = settings.privacy.site_key_file
    if os.path.lexists(file):
        return
    ledger = Ledger(
        settings.store.url,
        password=settings.store.password(),
        pseudonymous=settings.privacy.identifiers == "pseudonymous",
    )
    in_use = None
    with closing(ledger):
        with suppress(LedgerError):
            in_use = ledger.key_in_use()
        with suppress(LedgerAway, LedgerForbidden):
            known_site.require_known(settings, ledger)
    site_key.require_matching(in_use, None, file)


def _require_local_disk(settings: Settings) -> None:
    """Raise SettingsError if a SQLite database is on a network share.

    SQLite's locks and write-ahead log do not work there: https://sqlite.org/wal.html
    """
    if settings.store.sqlite_file is None:
        return
    folder = settings.store.sqlite_file.parent
    is_there = os.path.isdir(folder)  # noqa: PTH112  unlike Path.is_dir, never raises
    if is_there and is_network_filesystem(folder):
        raise SettingsError(
            f"[store] url names a SQLite file on a network share, {folder}.",
            hint="Put the file on a local disk, where it survives a power cut, or use PostgreSQL.",
        )
