"""Fixtures for tests of the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases
from tests.ledger_cases import CAMERA

from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.domain.delivery import Subscription


@pytest.fixture
def open_ledger(store_url: str) -> Iterator[Callable[..., Ledger]]:
    opened = []

    def ledger(*subscribed: Subscription, **options: Any) -> Ledger:
        key = ledger_cases.SITE_KEY
        opened.append(Ledger(store_url, site_key=key, subscriptions=subscribed, **options))
        opened[-1].start(ledger_cases.release())
        opened[-1].register_camera(CAMERA)
        return opened[-1]

    yield ledger
    for each in opened:
        each.close()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder
