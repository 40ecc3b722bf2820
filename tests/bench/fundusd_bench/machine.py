"""What is measured on: the machine's facts, and whether something else kept it busy."""

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
_TOLD = (*_NARROW, "avx512f", "avx2", "asimd", "bf16")
_BUSY_LOAD = 0.5
_BUSY_SHARE = 0.15
_IDLE_FIELDS = (3, 4)  # idle and iowait, of /proc/stat's cpu line
_COUNTED_FIELDS = 8  # guest time, which follows, is counted in user already


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader of the figures wants to know of the machine."""

    cpu: str
    cores: int  # that this process may use
    flags: tuple[str, ...]  # those that matter here
    memory_gb: float
    gpus: tuple[str, ...]
    kernel: str
    python: str
    packages: Mapping[str, str]  # name to version, "" where it is not installed

    @property
    def has_fast_bfloat16(self) -> bool:
        """Tell whether the CPU multiplies bfloat16 in hardware."""
        return not {*_NARROW}.isdisjoint(self.flags)


@dataclass(frozen=True, slots=True)
class Sample:
    """How much CPU time was spent until now, in seconds."""

    at: float  # monotonic
    spent: float  # by everybody
    own: float  # by this process and its children that ended
    cpus: int


def look(proc: Path = Path("/proc")) -> Machine:
    """Read the machine's facts."""
    cpuinfo = (proc / "cpuinfo").read_text()
    flags = set(_field(cpuinfo, "flags").split()) | set(_field(cpuinfo, "Features").split())
    kilobytes = int(_field((proc / "meminfo").read_text(), "MemTotal").split()[0])
    gpus = sorted((proc / "driver" / "nvidia" / "gpus").glob("*/information"))
    return Machine(
        cpu=_field(cpuinfo, "model name") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        flags=tuple(flag for flag in _TOLD if flag in flags),
        memory_gb=round(kilobytes / 2**20, 1),
        gpus=tuple(_field(gpu.read_text(), "Model") for gpu in gpus),
        kernel=platform.release(),
        python=platform.python_version(),
        packages={name: _version(name) for name in _PACKAGES},
    )


def _field(text: str, name: str) -> str:
    """Return the first value of `name` in lines of `name : value`, empty where there is none."""
    found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def load() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def sample(stat: Path = Path("/proc/stat")) -> Sample:
    """Take the CPU times of everybody and of us."""
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
    ticks = [int(word) for word in stat.splitlines()[0].split()[1 : 1 + _COUNTED_FIELDS]]
    return sum(count for field, count in enumerate(ticks) if field not in _IDLE_FIELDS)


def others_share(before: Sample, after: Sample) -> float:
    """Return which share of the CPUs other processes took between two samples, 0 to 1.

    >>> others_share(Sample(0, 100, 10, 2), Sample(10, 118, 25, 2))
    0.15
    """
    others = (after.spent - before.spent) - (after.own - before.own)
    return max(0.0, others / (max(after.at - before.at, 1e-9) * after.cpus))


def warnings(load_before: float, share: float) -> list[str]:
    """Say what makes the figures doubtful.

    >>> warnings(0.1, 0.15)
    []
    """
    found = []
    if load_before > _BUSY_LOAD:
        found.append(
            f"The machine was busy before the start: load average {load_before:.2f}, above {_BUSY_LOAD}."
        )
    if share > _BUSY_SHARE:
        found.append(
            f"Other processes took {share:.0%} of the CPUs during the run, more than {_BUSY_SHARE:.0%}."
        )
    return found
