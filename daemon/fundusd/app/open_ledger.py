"""Open the ledger that the settings name; all that a command needs which only asks or orders."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fundusd.domain.errors import SettingsError
from fundusd.files.filesystem import is_network_filesystem
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.app.settings import Settings


@contextmanager
def opened_ledger(settings: Settings, *, to_work: bool = False) -> Iterator[Ledger]:
    """Open the ledger for as long as the block runs, or with `to_work` to work for the cameras of the settings.

    Raises LedgerError, SettingsError.
    """
    _refuse_a_share(settings)
    site_key = settings.privacy.site_key() if to_work else b""
    naming = {camera.id: camera.naming for camera in settings.camera} if to_work else {}
    ledger = Ledger(
        settings.store.url,
        password=settings.store.password(),
        site_key=site_key,
        cameras=tuple(naming),
        naming=naming,
        expected_fields={camera.id: camera.expected_fields for camera in settings.camera},
        lookups={camera.id: one for camera in settings.camera if (one := camera.own_database)}
        if to_work
        else {},
        issuer=settings.privacy.issuer,
        pseudonymous=settings.privacy.identifiers == "pseudonymous",
        subscriptions=settings.subscriptions,
    )
    try:
        yield ledger
    finally:
        ledger.close()


def _refuse_a_share(settings: Settings) -> None:
    """Refuse SQLite on a network share: its locks and its write-ahead log do not work there (sqlite.org/wal.html)."""
    if (file := settings.store.sqlite_file) is None:
        return
    folder = file.parent
    if folder.is_dir() and is_network_filesystem(folder):
        raise SettingsError(
            f"[store] url names a SQLite file on a network share, {folder}.",
            hint="Put it on a local disk, where it survives a power cut, or use PostgreSQL.",
        )
