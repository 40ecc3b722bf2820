"""Commands in environments that nobody developed in: no user entry, no UTF-8, no library."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests import daemon_cases, ledger_cases, service_user_cases
from tests.cli.test_commands import graded, place

from fundusd import cli
from fundusd.app import service_unit, service_user
from fundusd.app.service_unit import Unit
from fundusd.cli import options
from fundusd.domain.clinical_terms import Grade
from fundusd.domain.errors import ExitStatus
from fundusd.files.owners import user_name
from fundusd.ledger import Ledger

__all__ = ["graded", "place"]  # fixtures

# what a user id without an entry looks like to a program
WITHOUT_ENTRY = """
import pwd, sys
def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = getpwuid
from fundusd.cli import main
main()
"""
WITHOUT_MODULE = """
import sys
sys.modules[{module!r}] = None
from fundusd.cli import main
main()
"""
BROKEN_MODULE = """
import importlib.abc, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "sqlalchemy":
            raise ImportError("libfoo.so.1: cannot open shared object file", name=name)
sys.meta_path.insert(0, Finder())
from fundusd.cli import main
main()
"""
NO_NAME = {"HOME": "", "USER": "", "LOGNAME": "", "LNAME": "", "USERNAME": "", "XDG_CACHE_HOME": ""}
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


def run(
    *words: str | Path, program: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    start = ["-c", program] if program else ["-m", "fundusd"]
    return subprocess.run(
        [sys.executable, *start, *words],
        env={**os.environ, **(env or {})},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("status", 0, "NOT RUNNING"),
        ("results", 0, "a_OD"),
        ("show 1", 0, "capture 1"),
        ("worklist", 0, "research use only"),
        ("reconcile", 0, "3 files"),
        ("audit verify", 0, "holds"),
        ("check", 1, "CACHE_DIRECTORY"),
        ("model info --model phantom", 0, "fundusd/phantom-1"),
        ("classify {inbox}/a_OD.jpg", 69, "CACHE_DIRECTORY"),
        ("model prepare", 69, "CACHE_DIRECTORY"),
        ("model info --model ~/weights", 69, "There is no folder /dev/null/weights"),
        (f"model info --model google/medsiglip-448 --revision {'a' * 40}", 69, "not downloaded"),
        ("review record 1 R agree", 2, f'id = "{os.getuid()}"'),
    ],
)
def test_a_user_without_an_entry_and_a_home_can_run_every_command(
    graded: daemon_cases.Site, tmp_path: Path, command: str, status: int, message: str
) -> None:
    settings = graded.path.read_text()
    graded.path.write_text(settings.partition("[[reader]]")[0])
    words = command.format(inbox=graded.inbox).split()
    ended = run(*words, program=WITHOUT_ENTRY, env={**NO_NAME, "FUNDUSD_CONFIG": str(graded.path)})
    printed = (ended.stdout + ended.stderr).decode()
    assert "broke" not in printed
    assert (ended.returncode, message in printed) == (status, True), printed


@pytest.mark.parametrize("is_service", [True, False])
def test_commands_of_the_user_of_a_unit_act_as_the_unit_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_service: bool
) -> None:
    user = user_name(os.geteuid()) if is_service else "another"
    environment = {"STATE_DIRECTORY": f"{tmp_path}/b", "HF_HOME": f"{tmp_path}/hf"}
    unit = Unit("fundusd@b.service", user, environment=environment)
    monkeypatch.setattr(service_unit, "unit_of", lambda _file: unit)
    monkeypatch.setattr(options, "ROOT", os.geteuid() + 1)
    for name in ("CACHE_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", "/srv/hf")  # what is set counts
    (tmp_path / "fundusd.toml").touch()
    before = os.umask(0o077)
    try:
        options.load(tmp_path / "fundusd.toml")
        (tmp_path / "fundusd.db").touch()
    finally:
        os.umask(before)
    assert os.environ["HF_HOME"] == "/srv/hf"
    assert os.environ.get("STATE_DIRECTORY") == (f"{tmp_path}/b" if is_service else None)
    mode = (tmp_path / "fundusd.db").stat().st_mode & 0o777
    assert mode == (0o640 if is_service else 0o600)


@pytest.mark.parametrize("is_root", [True, False])
@pytest.mark.parametrize("is_service", [True, False])
def test_commands_with_settings_elsewhere_find_the_cache_of_the_shipped_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_service: bool, is_root: bool
) -> None:
    """As if a drop-in let fundusd.service read other settings than those in /etc/fundusd."""
    cache = tmp_path if is_service else tmp_path / "missing"
    monkeypatch.setattr(service_unit, "SHIPPED_CACHE", cache)
    monkeypatch.setattr(options, "ROOT", os.geteuid() + (not is_root))
    monkeypatch.setattr(service_user, "_ROOT", -1)  # whoever runs this
    monkeypatch.setattr(service_user, "_change_to", lambda _user: "")
    for name in ("CACHE_DIRECTORY", "HF_HOME"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    place = daemon_cases.site(tmp_path, f"sqlite:///{tmp_path}/fundusd.db")
    os.umask(0o077)
    options.load(place.path)
    assert os.environ.get("CACHE_DIRECTORY") == (str(tmp_path) if is_service else None)
    assert os.environ.get("HF_HOME") == (f"{tmp_path}/hf" if is_service else None)
    assert os.umask(0) == (0o027 if is_service or is_root else 0o077)


@pytest.mark.parametrize("has_unit", [True, False])
def test_a_command_of_root_without_settings_finds_the_cache_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_unit: bool
) -> None:
    environment = {"CACHE_DIRECTORY": f"{tmp_path}", "HF_HOME": f"{tmp_path}/hf"}
    unit = Unit("fundusd.service", "fundusd", environment=environment) if has_unit else Unit()
    monkeypatch.setattr(service_unit, "unit_of", lambda _file: unit)
    monkeypatch.setattr(
        service_unit, "SHIPPED_CACHE", tmp_path / "missing" if has_unit else tmp_path
    )
    monkeypatch.setattr(options, "ROOT", os.geteuid())
    monkeypatch.setattr(service_user, "_ROOT", -1)  # whoever runs this
    monkeypatch.setattr(service_user, "_change_to", lambda user: f"running as {user.uid}")
    notices: list[str] = []
    monkeypatch.setattr(options, "_print_notice", notices.append)
    for name in environment:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    options.settings_for(None, "phantom", "")
    assert {name: os.environ.get(name) for name in environment} == environment
    assert notices == [f"running as {os.geteuid()}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a service of root")
@pytest.mark.parametrize(("sudo_user", "name"), [("okafor", "okafor"), ("", "root")])
def test_the_audit_trail_of_a_service_of_root_names_who_has_called_sudo(
    graded: daemon_cases.Site, sudo_user: str, name: str
) -> None:
    env = {"FUNDUSD_CONFIG": str(graded.path), "SUDO_USER": sudo_user, "LOGNAME": "root"}
    before = os.umask(0o022)
    assert run("show", "1", env=env).returncode == ExitStatus.OK
    (graded.folder / "fundusd.db").rename(graded.folder / "old.db")
    assert run("db", "upgrade", env=env).returncode == ExitStatus.OK
    os.umask(before)
    with closing(sqlite3.connect(graded.folder / "old.db")) as connection:
        actors = connection.execute("SELECT actor_id FROM audit_event ORDER BY seq DESC LIMIT 1")
        assert actors.fetchone() == (f"fundusd:{name}",)
    assert (graded.folder / "fundusd.db").stat().st_mode & 0o777 == 0o640


@service_user_cases.needs_users
def test_without_systemd_nobody_else_can_read_what_is_written_about_patients(
    sqlite_url: str,
) -> None:
    """The umask of the caller is 022, as it is nearly everywhere."""
    with service_user_cases.site_of_service(sqlite_url) as place:
        settings = place.path.read_text().replace("/fundusd.db", "/new.db")
        folder = f'folder = "{place.folder}/documents"'
        receiver = f'[[receiver]]\nid = "script"\ndocument = "csv"\n{folder}\n'
        place.path.write_text(f"{settings}{receiver}[outbox]\nquiet_seconds = 0\n")
        with place.running() as daemon:
            daemon.await_event("service.ready")
            daemon_cases.drop(place, "P1/a_OD.jpg", daemon_cases.jpeg(Grade.SEVERE))
            daemon.await_event("document.sent")
            command = ("show", "1", "--out", f"{place.folder}/show.png", "--config", place.path)
            drawing = (*service_user_cases.BECOMING, place.python, "-m", "fundusd", *command)
            subprocess.run(drawing, env=os.environ | place.environment, check=True)
            patterns = ("new.db*", "site.*", "service.*", "documents/*", "*.png")
            written = modes(place.folder, patterns)
            assert daemon.stop() == 0
    assert len(written) >= 8
    assert {name for name, mode in written.items() if mode & 0o027} == set(), written


def modes(folder: Path, patterns: tuple[str, ...]) -> dict[str, int]:
    files = [file for pattern in patterns for file in folder.glob(pattern)]
    return {file.name: file.stat().st_mode & 0o777 for file in files}


def test_a_stricter_umask_of_the_caller_is_kept(
    graded: daemon_cases.Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(options, "ROOT", -1)
    monkeypatch.setattr("sys.argv", ["fundusd", "man", "--out", str(tmp_path / "pages")])
    os.umask(0o077)
    with pytest.raises(SystemExit):
        cli.main()
    assert os.umask(0) == 0o077


def test_a_page_is_drawn_without_a_home_and_without_a_word_about_it(
    graded: daemon_cases.Site, tmp_path: Path
) -> None:
    page = tmp_path / "quality.png"
    env = {**NO_NAME, "FUNDUSD_CONFIG": str(graded.path)}
    ended = run("report", "quality", "--plot", page, program=WITHOUT_ENTRY, env=env)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert page.stat().st_size > 1000


@pytest.fixture
def zoe(place: daemon_cases.Site) -> daemon_cases.Site:
    """Set up a site whose ledger holds a graded capture with a name that is not ASCII."""
    ledger = Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=ledger_cases.SITE_KEY)
    ledger.start(ledger_cases.release())
    ledger.register_camera(ledger_cases.CAMERA)
    ledger_cases.classify(ledger, "Zoë_眼_OD.jpg")
    ledger.close()
    return place


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "command", ["results", "results --csv", "results --json", "show 1", "show 1 --json", "--help"]
)
def test_a_terminal_without_utf8_gets_other_characters_and_no_traceback(
    zoe: daemon_cases.Site, command: str, encoding: str
) -> None:
    ended = run(
        *command.split(),
        env={**ENCODINGS[encoding], "COLUMNS": "200", "FUNDUSD_CONFIG": str(zoe.path)},
    )
    assert ended.returncode == 0, ended.stderr
    printed = ended.stdout.decode("latin-1" if encoding == "latin-1" else "ascii")
    if command == "show 1":
        drawn = [line for line in printed.splitlines() if "_OD.jpg" not in line]
        assert "\\" not in "".join(drawn)  # the bars are drawn with other characters
    if command.endswith("--json"):
        assert "Zoë_眼_OD.jpg" in json.dumps(json.loads(printed), ensure_ascii=False)
    elif command.startswith("results"):
        assert "\\u773c_OD.jpg" in printed


@pytest.mark.parametrize("encoding", ["ascii", "C"])
def test_a_photograph_whose_name_is_no_text_is_classified(encoding: str, tmp_path: Path) -> None:
    names = [os.fsencode(tmp_path) + b"/Zo\xeb_OD.jpg", os.fsencode(tmp_path / "Zoë.jpg")]
    for name in names:
        with open(name, "wb") as file:  # noqa: PTH123  bytes
            file.write(daemon_cases.jpeg(Grade.PDR))
    command: list[str | bytes] = [sys.executable, "-m", "fundusd", "classify", *names]
    command += ["--model", "phantom"]
    env = {**os.environ, **ENCODINGS[encoding]}
    printed = subprocess.run(command, env=env, capture_output=True, check=True).stdout
    assert b"Zo\\xeb_OD.jpg:" in printed
    printed = subprocess.run([*command, "--json"], env=env, capture_output=True, check=True).stdout
    assert [Path(row["file"]).name for row in json.loads(printed)] == ["Zo\\xeb_OD.jpg", "Zoë.jpg"]


def test_an_inbox_that_the_locale_cannot_name_is_refused_with_the_remedy(
    graded: daemon_cases.Site,
) -> None:
    text = graded.path.read_text().replace(str(graded.inbox), "/srv/Zoë")
    graded.path.write_text(text, encoding="utf-8")
    ended = run("check", env={**ENCODINGS["C"], "FUNDUSD_CONFIG": str(graded.path)})
    assert ended.returncode == ExitStatus.CONFIG
    assert b"set LC_ALL=C.UTF-8" in ended.stderr


@pytest.mark.parametrize("module", ["typer", "orjson", "pydantic", "sqlalchemy"])
def test_a_half_installed_environment_names_the_module(
    graded: daemon_cases.Site, module: str
) -> None:
    program = WITHOUT_MODULE.format(module=module)
    ended = run("results", program=program, env={"FUNDUSD_CONFIG": str(graded.path)})
    assert ended.returncode == ExitStatus.UNAVAILABLE
    assert ended.stderr.decode() == (
        f"fundusd: fundusd is not completely installed: the Python module {module} is missing.\n"
        f"  Install fundusd and its libraries again, into the environment {sys.prefix}.\n"
    )


def test_a_library_that_cannot_be_loaded_is_named(graded: daemon_cases.Site) -> None:
    ended = run("results", program=BROKEN_MODULE, env={"FUNDUSD_CONFIG": str(graded.path)})
    assert ended.returncode == ExitStatus.UNAVAILABLE
    assert b"cannot be used (sqlalchemy: libfoo.so.1: cannot open shared object" in ended.stderr


def test_a_command_whose_output_is_closed_does_its_work(graded: daemon_cases.Site) -> None:
    line = f'"{sys.executable}" -m fundusd retry --failed --config "{graded.path}" >&-'
    ended = subprocess.run(["sh", "-c", line], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize(
    "command",
    [
        "results",
        "results --csv",
        "results --json",
        "worklist",
        "status",
        "outbox",
        "show 1",
        "config --help",
        "reconcile",
        "audit verify",
    ],
)
def test_a_command_whose_output_is_closed_ends_in_silence(
    graded: daemon_cases.Site, command: str
) -> None:
    line = f'"{sys.executable}" -m fundusd {command} >&-'
    env = {**os.environ, "FUNDUSD_CONFIG": str(graded.path)}
    ended = subprocess.run(["sh", "-c", line], capture_output=True, check=False, env=env)
    shown = subprocess.run(["sh", "-c", line[:-4]], capture_output=True, check=False, env=env)
    assert (ended.returncode, ended.stderr) == (shown.returncode, shown.stderr)
    assert shown.stdout
