"""The kernel has no watches left: watchdog reports nothing, but fundusd notices and sweeps."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.daemon_cases import drop, jpeg, running, site

from fundusd.domain.clinical_terms import Grade

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 100
LIMITED = [
    "unshare",
    "-Ur",
    "sh",
    "-c",
    f'echo {LIMIT} > /proc/sys/user/max_inotify_watches; exec "$@"',
    "limited",
]


def may_limit() -> bool:
    try:
        return subprocess.run([*LIMITED, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_limit(), reason="user namespaces are not allowed here")
def test_folders_without_a_watch_are_noticed_and_looked_into(tmp_path: Path) -> None:
    place = site(tmp_path, f"sqlite:///{tmp_path / 'fundusd.db'}")
    for number in range(2 * LIMIT):
        (place.inbox / f"P{number:03}").mkdir()
    with running(place, under=[*LIMITED, sys.executable]) as daemon:
        lost = daemon.await_event("hints.lost")
        assert lost["reason"] == "watches_short"
        drop(place, f"P{2 * LIMIT - 1:03}/OD.jpg", jpeg(Grade.MILD))
        daemon.await_event("capture.graded")
        assert daemon.stop() == 0
