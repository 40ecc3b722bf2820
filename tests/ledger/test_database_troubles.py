"""Each trouble of a database has its own sentence, its own hint and its own exit status."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests.faults.proxy import Link

from fundusd.domain.errors import (
    ExitStatus,
    LedgerAbsent,
    LedgerAway,
    LedgerError,
    LedgerReadOnly,
    LedgerUnfit,
)
from fundusd.ledger import Ledger, database_troubles, sqlite_troubles
from fundusd.ledger.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Postgres

SQLITE = [kind for kind in vars(sqlite_troubles).values() if isinstance(kind, Trouble)]
SQLITE += sqlite_troubles._BY_CODE
BESIDE = ("", "-wal", "-shm", ".lock")


def trouble(url: str, password: str | None = None) -> LedgerError:
    """Return the error of a command that only looks at a database."""
    ledger = Ledger(url, password=password)
    with pytest.raises(LedgerError) as caught:
        ledger.check()
    ledger.close()
    assert caught.value.hint
    return caught.value


def execute(ledger: Ledger, connection: sa.Connection, statement: str) -> None:
    with ledger.database.answering():
        connection.exec_driver_sql(statement)


# -- SQLite


def test_a_file_that_is_not_there_is_called_so_and_nothing_is_left_behind(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/fundusd.db")
    with pytest.raises(LedgerAbsent, match="There is no database") as caught:
        ledger.check()
    assert "backup" in caught.value.hint
    assert not ledger.is_held()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = trouble(f"sqlite:///{tmp_path}/nowhere/fundusd.db")
    assert f"{tmp_path}/nowhere, does not exist" in error.message
    assert "install -d" in error.hint


def test_a_folder_in_place_of_a_file_is_called_so(tmp_path: Path) -> None:
    assert "names the folder" in trouble(f"sqlite:///{tmp_path}").message


def test_a_file_that_is_no_database_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "fundusd.db").write_bytes(b"not a database at all\n" * 100)
    error = trouble(f"sqlite:///{tmp_path}/fundusd.db")
    assert "is not a SQLite database" in error.message
    assert error.exit_code == ExitStatus.CONFIG


def test_a_damaged_file_is_called_so_and_ends_for_good(sqlite_url: str) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    damaged = bytearray(file.read_bytes())
    damaged[100:] = b"\xa5" * (len(damaged) - 100)
    file.write_bytes(damaged)
    error = trouble(sqlite_url)
    assert isinstance(error, LedgerUnfit)
    assert "is damaged" in error.message
    assert "restore the last backup" in error.hint
    assert error.exit_code == ExitStatus.CONFIG


def test_a_file_that_may_not_be_written_is_called_so(sqlite_url: str) -> None:
    """As root, only a file system that is mounted read-only refuses; SQLite names both alike."""
    ledger = Ledger(sqlite_url)
    with ledger.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=1")
        with pytest.raises(LedgerError, match="cannot be written") as caught:
            execute(ledger, connection, "CREATE TABLE t (a)")
    ledger.close()
    assert "chmod u+w" in caught.value.hint
    assert not isinstance(caught.value, LedgerAway)


def test_a_folder_that_may_not_be_written_is_named_with_its_command(tmp_path: Path) -> None:
    """As root, no folder refuses, so the test names the error that SQLite gives other users."""
    url = sa.make_url(f"sqlite:///{tmp_path}/fundusd.db")
    kind = sqlite_troubles.of("SQLITE_READONLY_DIRECTORY", sqlite3.OperationalError(), url)
    assert kind is not None
    error = database_troubles.as_error(kind, url)
    assert "no file can be created beside it" in error.message
    assert f"chmod u+rwx {tmp_path}," in error.hint


@pytest.fixture
def read_only(tmp_path: Path, sqlite_url: str) -> Iterator[str]:
    """Mount a disk with a database read-only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        shutil.copy(sqlite_url.removeprefix("sqlite:///"), disk / "fundusd.db")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        yield f"sqlite:///{disk}/fundusd.db"
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_disk_that_is_mounted_read_only_is_called_so(read_only: str) -> None:
    ledger = Ledger(read_only)
    ledger.check()
    with pytest.raises(LedgerError, match="mounted read-only") as caught:
        ledger.register_camera("room1")
    assert "chown" not in caught.value.hint
    with pytest.raises(LedgerError, match="mounted read-only"):
        ledger.database.require_writable()
    ledger.close()


@pytest.mark.parametrize("command", ["check", "upgrade"])
def test_a_database_that_is_missing_on_such_a_disk_is_called_so(
    read_only: str, command: str
) -> None:
    ledger = Ledger(read_only.replace("fundusd.db", "missing.db"))
    with pytest.raises(LedgerAbsent, match="and its disk is mounted read-only") as caught:
        getattr(ledger, command)()
    assert "mount the disk for writing" in caught.value.hint


def test_a_file_of_this_user_that_may_not_be_written_is_called_so(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write what it has closed, so the test takes the right away."""
    file, may = sqlite_url.removeprefix("sqlite:///"), os.access

    def access(path: Path | str, mode: int, **words: bool) -> bool:
        return not (mode & os.W_OK and str(path) == file) and may(path, mode, **words)

    monkeypatch.setattr("os.access", access)
    ledger = Ledger(sqlite_url)
    for write in (ledger.database.require_writable, lambda: ledger.register_camera("room1")):
        with pytest.raises(LedgerError, match="may not open it for writing") as caught:
            write()
        assert caught.value.hint == f"Give its owner the right back: chmod u+rwX {file}"
    ledger.close()


@pytest.mark.parametrize("trouble", SQLITE, ids=lambda trouble: trouble.sentence)
def test_no_hint_gives_a_folder_away_and_all_quote_paths(trouble: Trouble) -> None:
    """The folder of a database may be /srv, or a home."""
    error = database_troubles.as_error(trouble, sa.make_url("sqlite:////srv/a b/fundusd.db"))
    for command in re.findall("chown [^;,)]*", error.hint):
        assert command == "chown fundusd: '/srv/a b/fundusd.db'*"
    assert "/srv" not in re.sub(r"'/srv/a b(/fundusd\.db)?'", "", error.hint)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", ".lock"])
def test_a_closed_file_beside_the_target_of_a_link_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """SQLite keeps its files beside the target, fundusd its lock beside the link."""
    link, target = tmp_path / "links" / "fundusd.db", tmp_path / "disk" / "fundusd.db"
    for file in (link, target):
        file.parent.mkdir()
    link.symlink_to(target)
    target.touch()
    closed = (link if suffix == ".lock" else target).with_name(f"fundusd.db{suffix}")
    closed.touch()
    monkeypatch.setattr("os.access", lambda path, *_, **__: path != closed)
    ledger = Ledger(f"sqlite:///{link}")
    with pytest.raises(LedgerError, match=f"{closed} belongs to") as caught:
        ledger.database.require_writable()
    assert str(closed) in caught.value.hint
    refused = database_troubles.as_error(sqlite_troubles._ONLY_READER, ledger.database.url)
    assert f"chown fundusd: {target}*" in refused.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("rights", ["of the file", "of the folder"])
def test_a_database_that_this_user_may_not_open_is_called_so(sqlite_url: str, rights: str) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    for folder in list(file.parents)[:-2]:
        folder.chmod(0o755)
    file.chmod(0o600 if rights == "of the file" else 0o666)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            Ledger(sqlite_url).check()
        except LedgerError as error:
            os.write(writing, f"{error.message} {error.hint}".encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading) as answer:  # noqa: PTH123  a pipe
        words = answer.read()
    assert "may not open" in words or "cannot be written" in words
    assert "chown" in words


def test_a_locked_file_is_called_so(sqlite_url: str) -> None:
    file = sqlite_url.removeprefix("sqlite:///")
    ledger = Ledger(sqlite_url)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ledger.database.reading() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=1")
            connection.exec_driver_sql("PRAGMA query_only=0")
            with pytest.raises(LedgerAway, match="keeps the database") as caught:
                execute(ledger, connection, "CREATE TABLE t (a)")
    ledger.close()
    assert "fuser" in caught.value.hint


# -- PostgreSQL


@pytest.fixture
def role(postgres: Postgres, postgres_url: str) -> Iterator[str]:
    """Give a role with a password, and no rights."""
    admin = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE nurse LOGIN PASSWORD 'right'")
        hba = Path(connection.exec_driver_sql("SHOW hba_file").scalar_one())
        before = hba.read_text()
        yield "nurse"
        hba.write_text(before)
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        connection.exec_driver_sql("DROP OWNED BY nurse")
        connection.exec_driver_sql("DROP ROLE nurse")


def demand(url: str, method: str) -> None:
    """Let the server ask the role for something before it may connect."""
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        hba = Path(connection.exec_driver_sql("SHOW hba_file").scalar_one())
        hba.write_text(f"local all nurse {method}\n{hba.read_text()}")
        connection.exec_driver_sql("SELECT pg_reload_conf(), pg_sleep(0.2)")


def of(url: str, username: str | None = None, database: str | None = None) -> str:
    changed = sa.make_url(url).set(username=username, database=database)
    return changed.render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("method", "password", "sentence", "hint"),
    [
        ("scram-sha-256", "wrong", "refuses the password of role nurse", "password_file"),
        ("scram-sha-256", None, "asks for a password for role nurse", "password_file"),
        ("reject", None, "does not let role nurse connect", "pg_hba.conf"),
        ("peer", None, "does not let role nurse connect", "peer"),
    ],
)
def test_a_login_that_is_refused_says_why(
    postgres_url: str, role: str, method: str, password: str | None, sentence: str, hint: str
) -> None:
    demand(postgres_url, method)
    error = trouble(of(postgres_url, username=role), password)
    assert sentence in error.message
    assert hint in error.hint
    assert not isinstance(error, LedgerAway)


def test_a_role_or_database_that_is_not_there_is_named(postgres_url: str) -> None:
    error = trouble(of(postgres_url, username="nobody"))
    assert "has no role nobody" in error.message
    assert "createuser nobody" in error.hint
    error = trouble(of(postgres_url, database="nowhere"))
    assert "has no database nowhere" in error.message
    assert "createdb -E UTF8" in error.hint


def test_missing_rights_name_the_command(empty_postgres_url: str, role: str) -> None:
    """From PostgreSQL 15 on, a role that is not the owner may not create tables in public."""
    admin = sa.create_engine(empty_postgres_url, poolclass=sa.NullPool)
    with admin.begin() as connection:
        connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM public")
    ledger = Ledger(of(empty_postgres_url, username=role))
    with pytest.raises(LedgerError, match="Role nurse lacks rights") as caught:
        ledger.upgrade()
    ledger.close()
    assert 'OWNER TO "nurse"' in caught.value.hint
    assert caught.value.exit_code == ExitStatus.TEMPORARY
    with admin.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f'ALTER DATABASE {name} OWNER TO "nurse"')
        connection.exec_driver_sql('GRANT USAGE, CREATE ON SCHEMA public TO "nurse"')
    ledger = Ledger(of(empty_postgres_url, username=role))
    ledger.upgrade()
    ledger.close()
    with admin.begin() as connection:
        connection.exec_driver_sql("REASSIGN OWNED BY nurse TO postgres")
        connection.exec_driver_sql("DROP OWNED BY nurse")


@pytest.mark.parametrize(
    "right", ["USAGE ON SCHEMA public", "SELECT ON ALL TABLES IN SCHEMA public"]
)
@pytest.mark.parametrize("command", ["check", "create_if_empty", "upgrade"])
def test_rights_that_were_taken_away_are_not_an_empty_database(
    postgres_url: str, role: str, right: str, command: str
) -> None:
    admin = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with admin.begin() as connection:
        connection.exec_driver_sql(f"REVOKE {right} FROM public, nurse")
    ledger = Ledger(of(postgres_url, username=role))
    try:
        with pytest.raises(LedgerError, match=r"Role nurse (lacks rights|may not read)") as caught:
            getattr(ledger, command)()
    finally:
        ledger.close()
        with admin.begin() as connection:
            connection.exec_driver_sql("GRANT USAGE ON SCHEMA public TO public")
    assert "GRANT " in caught.value.hint
    assert caught.value.exit_code == ExitStatus.TEMPORARY


@pytest.mark.parametrize(
    ("state", "kind", "sentence"),
    [
        ("XX001", LedgerUnfit, "is damaged"),
        ("XX002", LedgerUnfit, "is damaged"),
        ("25006", LedgerReadOnly, "accepts no writes"),
        ("53100", LedgerAway, "disk of the server"),
        ("53300", LedgerAway, "no connection to spare"),
        ("57P01", LedgerAway, "has ended the work"),
        ("40P01", LedgerAway, "has ended the work"),
        ("58000", LedgerError, "does not answer as it should"),
    ],
)
def test_what_a_server_reports_is_put_in_words(
    postgres_url: str, state: str, kind: type[LedgerError], sentence: str
) -> None:
    ledger = Ledger(postgres_url)
    with pytest.raises(kind, match=sentence) as caught, ledger.database.writing() as connection:
        connection.exec_driver_sql(
            f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$"
        )
    ledger.close()
    assert type(caught.value) is kind
    assert caught.value.hint


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_a_database_that_is_not_utf8_is_refused_with_the_command(
    postgres: Postgres, postgres_url: str, encoding: str
) -> None:
    admin = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE narrow ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
    try:
        error = trouble(of(postgres_url, database="narrow"))
    finally:
        postgres.drop("narrow")
    assert isinstance(error, LedgerUnfit)
    assert error.exit_code == ExitStatus.CONFIG
    assert "createdb -E UTF8" in error.hint


@contextmanager
def refusing(state: str, message: str) -> Iterator[int]:
    """Refuse every session in words, as a server or a pooler does."""

    def receive(session: socket.socket) -> bytes:
        (length,) = struct.unpack(">I", session.recv(4))
        return session.recv(length - 4)

    def serve(session: socket.socket) -> None:
        with session:
            packet = receive(session)
            while struct.unpack(">I", packet[:4])[0] in {80877103, 80877104}:  # TLS, GSSAPI
                session.sendall(b"N")
                packet = receive(session)
            assert b"options" in packet
            fields = f"SFATAL\0VFATAL\0C{state}\0M{message}\0\0".encode()
            session.sendall(b"E" + struct.pack(">I", len(fields) + 4) + fields)

    def accept() -> None:
        while True:
            try:
                session, _ = listening.accept()
            except OSError:
                return
            serve(session)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "message",
    [
        "unsupported startup parameter: options",
        "unsupported startup parameter in options: statement_timeout",
        "Feature not supported: RDS Proxy currently doesn't support command-line options.",
    ],
)
def test_a_pooler_that_refuses_options_is_called_so(message: str) -> None:
    with refusing("08P01", message) as port:
        error = trouble(f"postgresql+psycopg://fundusd@127.0.0.1:{port}/fundusd")
    assert isinstance(error, LedgerUnfit)
    assert "pooler" in error.message
    assert "server itself" in error.hint
    assert error.exit_code == ExitStatus.CONFIG


@pytest.mark.parametrize(
    "message", ["the database system is starting up", "Passwort-Authentifizierung fehlgeschlagen"]
)
def test_a_refusal_in_words_of_the_server_is_no_silence(message: str) -> None:
    with refusing("57P03", message) as port:
        error = trouble(f"postgresql+psycopg://fundusd@127.0.0.1:{port}/fundusd")
    assert isinstance(error, LedgerAway)
    assert "refuses the connection" in error.message
    assert "log" in error.hint


class Forgetful(Link):
    """Passes over what it does not know, as PgBouncer with ignore_startup_parameters does."""

    def altered(self, piece: bytes) -> bytes:
        return piece.replace(b"lock_timeout=15s", b"lock_timeout=16s")


def test_a_pooler_that_passes_over_options_is_called_so(postgres_url: str) -> None:
    with Forgetful(postgres_url) as link:
        error = trouble(link.url)
    assert "pooler" in error.message
