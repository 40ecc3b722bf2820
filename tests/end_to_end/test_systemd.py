"""The shipped unit under a real systemd: start, a capture, a crash, a clean stop."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import daemon_cases
from tests.end_to_end.test_packaging import commands

from fundusd.domain.clinical_terms import Eye, Grade

ROOT = Path(__file__).parents[2]
BOOT = Path(__file__).with_name("boot_systemd.sh")
SETTINGS = """\
[model]
source = "phantom"
[intake]
quiet_seconds = 0.2
[[camera]]
id = "room1"
inbox = "/srv/inbox"
"""


DROP_INS = "/etc/systemd/system/fundusd.service.d"
CHECKOUT = "/opt/checkout"  # /tmp, where the tests may run, is another one inside
STEPS = commands("Installation as a service")
STARTING = next(number for number, step in enumerate(STEPS) if "enable" in step)
EDITED = "/run/fundusd.toml"  # what the administrator writes in the editor
# no network: the libraries are there already, and pip builds with them; to pip,
# "no-build-isolation = false" means no isolation
PIP = b"[global]\nno-index = true\n[install]\nno-build-isolation = false\n"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SUDO = Path(__file__).with_name("sudo.c")
# an ordinary user who may use sudo, and whose umask is the strictest
ADMIN = "useradd --create-home --shell /bin/bash admin && chmod 700 /home/admin"
CLONE = f"cp -r {CHECKOUT} fundusd"


def why_not() -> str | None:
    """Say why a systemd cannot be booted here."""
    if os.geteuid() != 0:
        return "booting a systemd needs root"
    if not Path("/lib/systemd/systemd").exists():
        return "this machine has no systemd"
    if " cgroup2 " not in Path("/proc/mounts").read_text():
        return "there is no cgroup2 mount"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], check=False, capture_output=True
    )
    return None if tried.returncode == 0 else "new namespaces are not allowed here"


pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def binds(folder: Path) -> str:
    """Return what a machine needs of this one: a checkout, the interpreter and its libraries.

    Installing torch again would take minutes. The interpreter may be in /root, where the service
    cannot see it.
    """
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    return f"{sys.base_prefix}:/opt/python {libraries}:/opt/libraries {source}:{CHECKOUT}"


class Machine:
    """A booted systemd, and how to do things in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def do(self, *words: str, given: bytes = b"") -> str:
        """Run a command as root."""
        command = [str(BOOT), "sh", self.name, *words]
        done = subprocess.run(
            command, check=False, capture_output=True, input=given, env={"PATH": _PATH}
        )
        written = (done.stdout + done.stderr).decode()
        assert done.returncode == 0, f"{words}: {written} {self.journal()}"
        return done.stdout.decode()

    def type(self, command: str, folder: str = "fundusd") -> str:
        """Run a command as the administrator who has just logged in, in a folder of theirs."""
        typed = f"umask 077 && cd {folder} && export EDITOR='cp {EDITED}' && {command}"
        return self.do("runuser", "-l", "admin", "-c", typed)

    def journal(self) -> str:
        command = [str(BOOT), "sh", self.name, "journalctl", "--no-pager", "-n", "40", "-o", "cat"]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    def write(self, path: str, data: bytes) -> None:
        self.do("sh", "-c", f"cat > {path}", given=data)

    def shown(self, name: str) -> str:
        return self.do("systemctl", "show", "-P", name, "fundusd").strip()

    def events(self, invocation: str = "") -> set[str]:
        """Return what one run of the service has logged, by default the present one."""
        of_run = f"_SYSTEMD_INVOCATION_ID={invocation or self.shown('InvocationID')}"
        lines = self.do("journalctl", "--no-pager", "-o", "cat", of_run).splitlines()
        return {json.loads(line)["event"] for line in lines if line.startswith("{")}

    def await_that(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; each look starts a process, so this does not spin."""
        deadline = time.monotonic() + daemon_cases.DEADLINE
        while not condition():
            assert time.monotonic() < deadline, self.journal()

    def results(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads(self.do("fundusd", "results", "--json"))
        return rows


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Boot a machine with an administrator who may use sudo, and a clone of the repository."""
    folder = tmp_path_factory.mktemp("machine")
    name = f"fundusd-test-{os.getpid()}"
    environment = os.environ | {"BINDS": binds(folder)}
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, [str(BOOT), "down", name], check=False, capture_output=True)
        up = subprocess.run(
            [str(BOOT), "up", name], check=False, capture_output=True, env=environment, text=True
        )
        assert up.returncode == 0, up.stdout + up.stderr
        machine = Machine(name)
        add_sudo(machine, folder)
        machine.do("sh", "-c", ADMIN)
        add_python(machine)
        machine.type(CLONE, folder=".")
        machine.do("mkdir", "/srv/inbox")
        yield machine


def add_sudo(machine: Machine, folder: Path) -> None:
    """Let the administrator use sudo, or what stands in for it on this machine."""
    if shutil.which("sudo"):
        machine.write("/etc/sudoers.d/admin", b"admin ALL=(ALL) NOPASSWD: ALL\n")
        return
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("this machine has neither sudo nor a C compiler")
    built = folder / "sudo"
    subprocess.run([compiler, "-o", built, SUDO], check=True, capture_output=True)
    machine.write("/usr/local/bin/sudo", built.read_bytes())
    machine.do("chmod", "4755", "/usr/local/bin/sudo")
    machine.do("ln", "-s", "sudo", "/usr/local/bin/sudoedit")


def add_python(machine: Machine) -> None:
    """Install this interpreter for all users, and all libraries into the service's environment."""
    machine.write("/etc/pip.conf", PIP)
    machine.write("/usr/local/bin/python3", b'#!/bin/sh\nexec /opt/python/bin/python3 "$@"\n')
    machine.do("chmod", "755", "/usr/local/bin/python3")
    machine.do("sh", "-c", "ln -s /opt/python/lib/libpython* /usr/local/lib && ldconfig")
    machine.do("/usr/local/bin/python3", "-m", "venv", "--without-pip", "/opt/fundusd")
    machine.do("sh", "-c", "echo /opt/libraries > $(echo /opt/fundusd/lib/*/site-packages)/all.pth")


@pytest.fixture
def machine(booted: Machine) -> Iterator[Machine]:
    """Yield the machine, whose service is reset afterwards."""
    yield booted
    booted.do("sh", "-c", "systemctl stop fundusd; systemctl reset-failed fundusd || true")
    site = "/var/lib/fundusd/* /var/cache/fundusd/*.identity /etc/fundusd/fundusd.toml"
    booted.do("sh", "-c", f"rm -rf {site} /srv/inbox/*")
    booted.do("sh", "-c", "chgrp root /srv/inbox; chmod 755 /srv/inbox; rm -rf " + DROP_INS)
    booted.do("systemctl", "daemon-reload")


def install(machine: Machine, settings: str = SETTINGS) -> None:
    """Install the service with these settings, if no other test has installed it already."""
    machine.type(f"[ -e /usr/bin/fundusd ] || {STEPS[0]}")
    machine.write("/etc/fundusd/fundusd.toml", settings.encode())


def test_an_administrator_installs_the_service_by_typing_the_readmes_commands(
    machine: Machine,
) -> None:
    machine.write(EDITED, SETTINGS.encode())
    machine.do("chmod", "644", EDITED)
    *_, check = (machine.type(step) for step in STEPS[:STARTING])
    assert "WRONG" not in check
    machine.type("sudo -u fundusd fundusd model prepare")
    assert machine.do("ls", "/var/cache/fundusd")  # where the service looks for it
    assert ".cache" not in machine.do("ls", "-A", "/var/lib/fundusd")
    _, shown, _, status = (machine.type(step) for step in STEPS[STARTING:])  # READY=1 came
    assert "active (running)" in shown
    assert "running" in status

    if shutil.which("man"):
        assert "fundusd.1" in machine.type("man --where fundusd")

    machine.write("/srv/inbox/first_OD.jpg", daemon_cases.jpeg(Grade.PDR))
    machine.await_that(lambda: [row["outcome"] for row in machine.results()] == ["graded"])
    assert machine.results()[0]["eye"] == "R"

    machine.type("sudo systemctl stop fundusd && sudo make install")  # an upgrade
    assert machine.do("cat", "/etc/fundusd/fundusd.toml") == SETTINGS
    machine.type("sudo -u fundusd fundusd db upgrade && sudo systemctl start fundusd")
    assert len(machine.results()) == 1
    assert not machine.do("find", "/home/admin", "-user", "root")


def test_the_shipped_unit_grades_a_capture_survives_a_kill_and_stops_cleanly(
    machine: Machine,
) -> None:
    install(machine)
    machine.type(STEPS[STARTING])
    machine.write("/srv/inbox/first_OD.jpg", daemon_cases.jpeg(Grade.PDR))
    machine.await_that(lambda: [row["outcome"] for row in machine.results()] == ["graded"])
    assert {"service.started", "service.ready", "capture.graded"} <= machine.events()

    machine.do("systemctl", "kill", "-s", "KILL", "fundusd")
    machine.write("/srv/inbox/second_OS.jpg", daemon_cases.jpeg(Grade.NO_DR, Eye.LEFT, seed=2))
    machine.await_that(
        lambda: len([row for row in machine.results() if row["outcome"] == "graded"]) == 2
    )
    assert machine.shown("NRestarts") == "1"

    assert "service.stopped" not in machine.events()
    invocation = machine.shown("InvocationID")
    machine.do("systemctl", "stop", "fundusd")
    assert machine.shown("Result") == "success"
    assert machine.shown("ExecMainStatus") == "0"
    assert "service.stopped" in machine.events(invocation)
    assert "The audit chain holds" in machine.do("fundusd", "audit", "verify")


def test_a_reload_with_wrong_settings_fails_and_the_service_goes_on(machine: Machine) -> None:
    install(machine)
    machine.type(STEPS[STARTING])
    machine.do("systemctl", "reload", "fundusd")
    machine.write("/etc/fundusd/fundusd.toml", b"[nonsense]\n")
    refused = machine.do("sh", "-c", "systemctl reload fundusd || echo refused")
    assert refused.strip() == "refused"
    assert machine.shown("ActiveState") == "active"
    errors = machine.do(
        "journalctl", "--no-pager", "-t", "fundusd", "-p", "err", "-o", "cat", "--since", "-1min"
    )
    assert "nonsense" in errors


def test_commands_of_root_have_the_user_the_groups_and_the_folders_of_the_unit(
    machine: Machine,
) -> None:
    install(machine)
    machine.do("sh", "-c", "groupadd -f camera && chgrp camera /srv/inbox && chmod 750 /srv/inbox")
    refused = machine.do("sh", "-c", "fundusd check 2>&1 || true")
    assert "WRONG inbox of room1: /srv/inbox cannot be listed by user fundusd" in refused
    groups = b"[Service]\nSupplementaryGroups=camera\n"
    machine.do("mkdir", "-p", DROP_INS)
    machine.write(f"{DROP_INS}/groups.conf", groups)
    machine.do("systemctl", "daemon-reload")
    for command in ("check", "db upgrade", "model prepare", "status"):
        printed = machine.do("sh", "-c", f"fundusd {command} 2>&1")
        assert "fundusd: running as fundusd, the user of fundusd.service" in printed
        assert "WRONG" not in printed
    machine.do("test", "-d", "/var/cache/fundusd/prepared")
    folders = ("/var/lib/fundusd", "/var/cache/fundusd")
    assert machine.do("find", *folders, "!", "-user", "fundusd") == ""
    machine.type(STEPS[STARTING])


def test_wrong_settings_keep_the_unit_down(machine: Machine) -> None:
    install(machine, "[nonsense]\n")
    machine.do("sh", "-c", "systemctl start fundusd || true")
    assert machine.shown("ExecMainStatus") == "78"
    assert machine.shown("NRestarts") == "0"


def test_an_interpreter_that_the_service_cannot_see_is_refused(machine: Machine) -> None:
    machine.type("ln -s /opt/python own", folder=".")
    typed = "sudo make install PYTHON=/home/admin/own/bin/python3 2>&1 || echo refused"
    answer = machine.type(typed)
    assert "install Python for all users" in answer
    assert "-m venv" not in answer
    assert answer.endswith("refused\n")
    assert "Only root" in machine.type("make install 2>&1 || true")
