"""Systemd is asked for the user, groups and folders of the service that reads a settings file."""

from __future__ import annotations

import grp
import importlib
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fundusd.app import service_unit, service_user
from fundusd.app.service_unit import Unit, read, unit_of
from fundusd.app.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

SYSTEMCTL = """\
#!/bin/sh
[ "$*" = "show --property={properties} -- {name}" ] || exit 1
echo LoadState=loaded
echo User=fundusd
echo Group={group}
echo "SupplementaryGroups={group} 4711 no-such-group"
echo StateDirectory=fundusd/left
echo CacheDirectory=fundusd
echo 'Environment=HOME=/var/lib/fundusd "NAME=two words" HF_HOME=/var/cache/fundusd/hf'
"""
DEFAULT = Path("/etc/fundusd/fundusd.toml")


def test_a_unit_gives_the_user_the_groups_and_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = grp.getgrgid(os.getgid())
    program = tmp_path / "systemctl"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for file, name in (
        (DEFAULT, "fundusd.service"),
        (DEFAULT.with_name("left.toml"), "fundusd@left.service"),
    ):
        program.write_text(
            SYSTEMCTL.format(properties=service_unit.PROPERTIES, name=name, group=group.gr_name)
        )
        program.chmod(0o755)
        environment = {
            "STATE_DIRECTORY": "/var/lib/fundusd/left",
            "CACHE_DIRECTORY": "/var/cache/fundusd",
            "HF_HOME": "/var/cache/fundusd/hf",
        }
        expected = Unit(name, "fundusd", (group.gr_gid, 4711), environment, group=group.gr_gid)
        assert unit_of(file) == expected


def test_a_protected_unit_writes_to_its_own_folders_and_reaches_no_network() -> None:
    unit = read(
        "fundusd.service",
        "LoadState=loaded\nStateDirectory=fundusd\nCacheDirectory=fundusd\n"
        "ProtectSystem=strict\n"
        "PrivateNetwork=yes\nReadWritePaths=/srv/results -/mnt/pacs +/srv/rooted\n",
    )
    assert unit.lacks_network
    for folder in (
        "/var/lib/fundusd/sent",
        "/var/cache/fundusd",
        "/srv/results/out",
        "/mnt/pacs",
        "/srv/rooted",
    ):
        assert unit.lets_write(Path(folder)), folder
    for folder in ("/var/lib", "/srv/other", "/mnt", "/home/okafor"):
        assert not unit.lets_write(Path(folder)), folder


def test_an_open_unit_writes_wherever_its_user_may_and_reaches_the_network() -> None:
    unit = read(
        "fundusd.service",
        "LoadState=loaded\nProtectSystem=full\nPrivateNetwork=no\nReadWritePaths=/srv\n",
    )
    assert not unit.lacks_network
    assert unit.lets_write(Path("/home/okafor"))


def test_settings_elsewhere_and_machines_without_systemd_have_no_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unit_of(tmp_path / "fundusd.toml") == Unit()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert unit_of(DEFAULT) == Unit()
    (tmp_path / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "systemctl").chmod(0o755)
    assert unit_of(DEFAULT) == Unit()


def test_a_unit_that_is_not_there_is_none() -> None:
    assert service_unit.read("fundusd.service", "LoadState=not-found\nUser=\n") == Unit()


@pytest.mark.parametrize("user", ["", "root", "0"])
def test_the_unit_decides_that_the_service_is_of_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    """Although the database is in a folder of another user, as in a home directory."""
    chosen = Settings.model_validate({"store": {"url": f"sqlite:///{tmp_path}/fundusd.db"}})
    monkeypatch.setattr(service_user, "_ROOT", os.geteuid() + 1)  # whoever runs this
    monkeypatch.setattr(service_user, "_change_to", lambda user: f"running as {user.name}")
    monkeypatch.setattr(service_unit, "unit_of", lambda _file: Unit("fundusd.service", user))
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.setenv("SUDO_USER", "okafor")
    assert service_user.become(chosen, DEFAULT) == ""
    assert os.environ["LOGNAME"] == "okafor"
    assert os.umask(0) == service_unit.UMASK
    monkeypatch.setattr(service_unit, "unit_of", lambda _file: Unit())
    assert service_user.become(chosen, DEFAULT).startswith("running as ")


def test_all_modules_are_imported_without_the_optional_libraries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported, original = [], importlib.import_module

    def import_module(name: str, package: str | None = None) -> ModuleType:
        if name == "fundusd.model.openvino_backend":
            raise ModuleNotFoundError(name="openvino")
        imported.append(name)
        return original(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    service_user._import_everything()
    assert "fundusd.worker.service" in imported


def test_an_environment_that_cannot_be_read_leaves_the_rest_of_the_unit() -> None:
    properties = 'LoadState=loaded\nUser=root\nPrivateNetwork=yes\nEnvironment=NAME="open\n'
    unit = service_unit.read("fundusd.service", properties)
    assert unit == Unit("fundusd.service", "root", lacks_network=True)


@pytest.mark.parametrize("user", ["nobody", str(pwd.getpwnam("nobody").pw_uid)])
def test_the_user_of_a_unit_may_be_a_number_and_has_the_group_of_the_unit(user: str) -> None:
    chosen = service_user._user_of(Unit("fundusd.service", user, group=4712))
    assert chosen is not None
    assert (chosen.name, chosen.gid, chosen.groups) == ("nobody", 4712, (4712,))
