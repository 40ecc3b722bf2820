"""A GPU whose driver is there, but which takes no work yet when the service starts."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.daemon_cases import DEADLINE, drop, running, site
from tests.faults.camera import photograph

from fundusd.domain.errors import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

# what torch does while NVIDIA's driver initialises the device
NOT_READY = """
import torch
from fundusd.model import device
def start():
    raise RuntimeError("CUDA error: system not yet initialized\\nCompile with ...")
device.may_have_gpu = lambda: True
device._fits_a_driver = lambda: True
torch.cuda.is_available = lambda: False
torch.cuda.init = start
torch.version.cuda = "12.8"
"""
SENTENCE = "The GPU is not ready, although its driver is there (CUDA error: system not yet"


def test_a_gpu_that_is_not_ready_ends_the_start_with_75(tmp_path: Path, sqlite_url: str) -> None:
    place = site(tmp_path, sqlite_url)
    text = place.path.read_text().replace("batch_size = 4", 'device = "cuda"')
    place.path.write_text(text)
    with running(place, trouble=NOT_READY) as daemon:
        failed = daemon.await_event("service.failed")
        assert failed["error"].startswith(SENTENCE)
        assert "nvidia-smi" in failed["hint"]
        assert daemon.process.wait(DEADLINE) == ExitStatus.TEMPORARY
    program = f"{NOT_READY}\nfrom fundusd.cli import main\nmain()"
    checked = subprocess.run(
        [sys.executable, "-c", program, "check", "--config", str(place.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == ExitStatus.NO
    assert f"WRONG device: {SENTENCE}" in checked.stdout


def test_a_service_that_falls_back_to_the_cpu_says_so(tmp_path: Path, sqlite_url: str) -> None:
    place = site(tmp_path, sqlite_url)
    drop(place, "1_OD.jpg", photograph(0))
    with running(place, trouble=NOT_READY) as daemon:
        unused = daemon.await_event("device.unused")
        assert unused["level"] == "warning"
        assert "CUDA error: system not yet initialized" in unused["error"]
        daemon.await_event("capture.graded")
        assert daemon.stop() == 0
