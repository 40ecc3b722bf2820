"""Systemd is asked for the user, groups and folders of the service that reads a settings file."""

from __future__ import annotations

import grp
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fundusd.app import service_unit
from fundusd.app.service_unit import Unit, read, unit_of

if TYPE_CHECKING:
    import pytest

SYSTEMCTL = """\
#!/bin/sh
[ "$*" = "show --property={properties} -- {name}" ] || exit 1
echo User=fundusd
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
        assert unit_of(file) == Unit(name, "fundusd", (group.gr_gid, 4711), environment)


def test_a_protected_unit_writes_to_its_own_folders_and_reaches_no_network() -> None:
    unit = read(
        "fundusd.service",
        "StateDirectory=fundusd\nCacheDirectory=fundusd\nProtectSystem=strict\n"
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
    unit = read("fundusd.service", "ProtectSystem=full\nPrivateNetwork=no\nReadWritePaths=/srv\n")
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
