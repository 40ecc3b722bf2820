"""Describe the machine, and detect whether other processes kept it busy."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGES = ("torch", "transformers", "openvino", "pillow", "simplejpeg", "sqlalchemy")
_NARROW = ("avx512_bf16", "amx_bf16")  # what makes bfloat16 fast
_REPORTED = (*_NARROW, "avx512f", "avx2", "asimd", "bf16")
_BUSY_LOAD = 0.5
_BUSY_SHARE = 0.15
_IDLE_FIELDS = (3, 4)  # idle and iowait, of /proc/stat's cpu line
_COUNTED_FIELDS = 8  # guest time, which follows, is counted in user already


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts about the machine that matter for the figures."""

    cpu: str
    cores: int  # that this process may use
    flags: tuple[str, ...]  # CPU features that matter for the model
    memory_gb: float
    gpus: tuple[str, ...]
    kernel: str
    python: str
    packages: Mapping[str, str]  # name to version, "" where it is not installed

    @property
    def has_fast_bfloat16(self) -> bool:
        """Return whether the CPU multiplies bfloat16 in hardware."""
        return not {*_NARROW}.isdisjoint(self.flags)


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU time spent until now, in seconds."""

    at: float  # monotonic
    spent: float  # by all processes
    own: float  # by this process and its children that ended
    cpus: int


def look(proc: Path = Path("/proc")) -> Machine:
    """Return facts about this machine."""
    cpuinfo = (proc / "cpuinfo").read_text()
    flags = set(_field(cpuinfo, "flags").split()) | set(_field(cpuinfo, "Features").split())
    kilobytes = int(_field((proc / "meminfo").read_text(), "MemTotal").split()[0])
    gpus = sorted((proc / "driver" / "nvidia" / "gpus").glob("*/information"))
    return Machine(
        cpu=_field(cpuinfo, "model name") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        flags=tuple(flag for flag in _REPORTED if flag in flags),
        memory_gb=round(kilobytes / 2**20, 1),
        gpus=tuple(_field(gpu.read_text(), "Model") for gpu in gpus),
        kernel=platform.release(),
        python=platform.python_version(),
        packages={name: _version(name) for name in _PACKAGES},
    )


def _field(text: str, name: str) -> str:
    """Return the first value of `name` in lines of `name : value`, or ""."""
    match = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def load() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def sample(stat: Path = Path("/proc/stat")) -> Sample:
    """Return the CPU times of all processes and of this one."""
    text = stat.read_text()
    own = os.times()
    spent = own.user + own.system + own.children_user + own.children_system
    cpus = len(re.findall(r"^cpu\d", text, re.MULTILINE))
    return Sample(monotonic(), busy_ticks(text) / os.sysconf("SC_CLK_TCK"), spent, cpus)


def busy_ticks(stat: str) -> int:
    r"""Return the ticks in which a CPU was not idle, of the text of /proc/stat.

    >>> busy_ticks("cpu  10 1 5 1000 7 0 2 3 4 4\ncpu0 ...")
    21
    """
    busy = 0
    for field, ticks in enumerate(stat.splitlines()[0].split()[1 : 1 + _COUNTED_FIELDS]):
        if field not in _IDLE_FIELDS:
            busy += int(ticks)
    return busy


def others_share(before: Sample, after: Sample) -> float:
    """Return the share of CPU time that other processes took between two samples, 0 to 1.

    >>> others_share(Sample(0, 100, 10, 2), Sample(10, 118, 25, 2))
    0.15
    """
    others = (after.spent - before.spent) - (after.own - before.own)
    return max(0.0, others / (max(after.at - before.at, 1e-9) * after.cpus))


def warnings(load_before: float, share: float) -> list[str]:
    """Return reasons to doubt the figures.

    >>> warnings(0.1, 0.15)
    []
    """
    reasons = []
    if load_before > _BUSY_LOAD:
        reasons.append(
            f"The machine was busy before the start: load average {load_before:.2f}, "
            f"above {_BUSY_LOAD}."
        )
    if share > _BUSY_SHARE:
        reasons.append(
            f"Other processes took {share:.0%} of the CPUs during the run, "
            f"more than {_BUSY_SHARE:.0%}."
        )
    return reasons
