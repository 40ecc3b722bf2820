"""What an operator reads when the database cannot be used: one sentence, one hint, no values, no passwords."""

from __future__ import annotations

import socket
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import ledger_cases as cases
from fundusd.domain import Reason
from fundusd.errors import LedgerError, SettingsError
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_unreachable_server_is_named_without_its_password() -> None:
    url = f"postgresql+psycopg://fundus:geheim@127.0.0.1:{closed_port()}/fundus"
    ledger = Ledger(url)
    with pytest.raises(LedgerError, match="does not answer") as caught:
        ledger.check()
    assert caught.value.hint
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_a_password_from_a_file_reaches_the_server_and_no_text() -> None:
    ledger = Ledger(f"postgresql+psycopg://fundus@127.0.0.1:{closed_port()}/fundus", password="geheim")  # noqa: S106
    assert ledger.database.url.password == "geheim"  # noqa: S105
    with pytest.raises(LedgerError) as caught:
        ledger.is_held()
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_a_missing_folder_is_a_ledger_error_with_a_hint(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/nowhere/fundusd.db")
    with pytest.raises(LedgerError, match="SQLITE_CANTOPEN") as caught:
        ledger.check()
    assert caught.value.hint
    with pytest.raises(LedgerError) as caught:
        ledger.is_held()
    assert caught.value.hint


def test_a_file_that_is_no_database_is_a_ledger_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "fundusd.db").write_bytes(b"not a database at all\n" * 100)
    ledger = Ledger(f"sqlite:///{tmp_path}/fundusd.db")
    with pytest.raises(LedgerError, match="SQLITE_NOTADB") as caught:
        ledger.check()
    assert caught.value.hint


def test_a_refused_row_shows_nothing_of_its_values(ledger: Ledger) -> None:
    content = replace(cases.CONTENT, patient_id="Müller^Erika")
    with pytest.raises(LedgerError) as caught:
        ledger.record([cases.refusal(cases.take(ledger), Reason.TRUNCATED, content)])  # breaks a CHECK
    told = "".join(traceback.format_exception(caught.value))
    assert "ller^Erika" not in told
    assert "Error" in told


def test_a_capture_of_an_unknown_camera_is_a_ledger_error(ledger: Ledger) -> None:
    with pytest.raises(LedgerError):
        ledger.admit(cases.found(camera_id="nobody"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fundusd.db",
        "mysql://fundus@host/fundus",
        "postgresql://fundus@host/fundus",
        "postgresql+psycopg://fundus@host:port/fundus",
        "sqlite://fundusd.db",
        "sqlite:////var/lib/fundusd/fundusd.db?mode=memory&uri=true",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_store_that_fundusd_cannot_use_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Ledger(url)
    assert caught.value.hint
    assert caught.value.exit_code == 78


def test_a_url_that_is_refused_is_not_repeated() -> None:
    url = "postgres://fundus:geheim@host/fundus"
    with pytest.raises(SettingsError) as caught:
        Ledger(url)
    assert "geheim" not in f"{caught.value} {caught.value.hint}"
