"""Open the ledger that the settings name; all that a command needs which only asks or orders."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.settings import Settings


@contextmanager
def opened_ledger(settings: Settings, *, with_site_key: bool = False) -> Iterator[Ledger]:
    """Open the ledger for as long as the block runs; raises LedgerError, SettingsError."""
    site_key = settings.privacy.site_key() if with_site_key else b""
    ledger = Ledger(settings.store.url, password=settings.store.password(), site_key=site_key)
    try:
        yield ledger
    finally:
        ledger.close()
