"""Errors of the database: one sentence and one hint, without values or passwords."""

from __future__ import annotations

import socket
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases

from fundusd.app.open_ledger import opened_ledger
from fundusd.app.settings import Settings
from fundusd.app.settings_service import StoreSettings
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import LedgerAway, LedgerError, SettingsError
from fundusd.files import filesystem
from fundusd.ledger import Ledger
from fundusd.ledger.database import Database

if TYPE_CHECKING:
    from pathlib import Path


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_unreachable_server_is_named_without_its_password() -> None:
    url = f"postgresql+psycopg://fundus:geheim@127.0.0.1:{closed_port()}/fundus"
    ledger = Ledger(url)
    with pytest.raises(LedgerError, match="No PostgreSQL server answers") as caught:
        ledger.check()
    assert caught.value.hint
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_a_password_from_a_file_reaches_the_server_and_no_text() -> None:
    ledger = Ledger(
        f"postgresql+psycopg://fundus@127.0.0.1:{closed_port()}/fundus",
        password="geheim",  # noqa: S106
    )
    assert ledger.database.url.password == "geheim"  # noqa: S105
    with pytest.raises(LedgerError) as caught:
        ledger.is_held()
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_a_server_that_cannot_be_reached_may_come_back() -> None:
    with pytest.raises(LedgerAway):
        Ledger(f"postgresql+psycopg://fundus@127.0.0.1:{closed_port()}/fundus").check()


@pytest.mark.parametrize("change", [{"database": "nowhere"}, {"username": "nobody"}])
def test_a_login_that_is_refused_will_be_refused_again(
    postgres_url: str, change: dict[str, Any]
) -> None:
    url = sa.make_url(postgres_url).set(**change).render_as_string(hide_password=False)
    with pytest.raises(LedgerError) as caught:
        Ledger(url).check()
    assert not isinstance(caught.value, LedgerAway)


def test_a_missing_folder_is_a_ledger_error_with_a_hint(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/nowhere/fundusd.db")
    with pytest.raises(LedgerError, match="does not exist") as caught:
        ledger.check()
    assert caught.value.hint
    assert not ledger.is_held()


def test_a_file_that_is_no_database_is_a_ledger_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "fundusd.db").write_bytes(b"not a database at all\n" * 100)
    ledger = Ledger(f"sqlite:///{tmp_path}/fundusd.db")
    with pytest.raises(LedgerError, match="SQLITE_NOTADB") as caught:
        ledger.check()
    assert caught.value.hint


def test_a_refused_row_shows_nothing_of_its_values(ledger: Ledger) -> None:
    content = replace(cases.CONTENT, patient_id="Müller^Erika")
    with pytest.raises(LedgerError) as caught:
        ledger.record(
            [cases.refusal(cases.take(ledger), Reason.TRUNCATED, content)]
        )  # breaks a CHECK
    printed = "".join(traceback.format_exception(caught.value))
    assert "ller^Erika" not in printed
    assert "Error" in printed


def test_a_capture_of_an_unknown_camera_is_a_ledger_error(ledger: Ledger) -> None:
    with pytest.raises(LedgerError):
        ledger.admit(cases.found(camera_id="nobody"))


def test_a_place_where_sqlite_keeps_no_write_ahead_log_is_refused() -> None:
    database = Database(
        sa.make_url("sqlite://")
    )  # in memory: the one file system here that has none
    with pytest.raises(LedgerError, match="journal_mode is memory") as caught, database.reading():
        pytest.fail("rows could be lost")
    assert "local disk" in caught.value.hint


def test_every_commit_is_on_the_disk_before_it_is_acknowledged(ledger: Ledger) -> None:
    ledger.check()
    with ledger.database.reading() as connection:
        if ledger.database.is_sqlite:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"


def test_a_server_that_acknowledges_too_early_is_refused(postgres_url: str) -> None:
    ledger = Ledger(postgres_url)
    with ledger.database.engine.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    ledger.close()  # the sessions that began before
    with pytest.raises(LedgerError, match="power cut") as caught:
        ledger.check()
    assert "synchronous_commit" in caught.value.hint
    ledger.close()


def test_sqlite_on_a_network_share_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Settings(store=StoreSettings(url=f"sqlite:///{tmp_path}/fundusd.db"))
    monkeypatch.setattr(
        filesystem, "f_type", lambda _path: 0x6969
    )  # NFS, which this kernel does not have
    with pytest.raises(SettingsError, match="on a network share") as caught, opened_ledger(chosen):
        pytest.fail("its locks do not work there")
    assert caught.value.hint
    with opened_ledger(Settings(store=StoreSettings(url="postgresql+psycopg:///fundusd"))):
        pass


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
