"""What the model runs on: backend, device and dtype, decided before any weight is read."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fundusd.domain.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from fundusd.model.locate import ModelChoice

DTYPES = ("float32", "bfloat16")
# without one of these, a CPU computes bf16 slower than fp32
_NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}
_CPUINFO = Path("/proc/cpuinfo")
_NVIDIA = Path("/dev/nvidiactl")
# NVIDIA's driver, loaded, whose nodes may come with the first program that uses it; AMD's; either under Windows
_GPUS = (_NVIDIA, Path("/sys/module/nvidia"), Path("/dev/kfd"), Path("/dev/dxg"))


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything of the machine that can change the last digits of a score."""

    backend: str  # "torch" | "openvino"
    device: str  # "cpu", "mps", "cuda", "cuda:1"
    dtype: str
    version: str  # of the backend's library
    device_name: str  # the device as its maker names it

    @property
    def is_cpu(self) -> bool:
        """Tell whether the processor does the work: batches buy nothing there."""
        return self.device == "cpu"

    def __str__(self) -> str:
        """Show it as the release carries it."""
        return f"{self.backend} {self.version} on {self.device_name}"


def candidates(choice: ModelChoice) -> list[Runtime]:
    """Return what to try, best first; only `auto` on a Mac has a second. Raises ModelError, SettingsError."""
    if choice.dtype not in {"auto", *DTYPES}:
        narrow = ": too narrow, and slow on CPUs" if "16" in choice.dtype else ""
        raise SettingsError(
            f"model.dtype {choice.dtype!r} is not served{narrow}",
            hint=f"use auto, {' or '.join(DTYPES)}",
        )
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", choice.device):
        raise SettingsError(
            f"model.device {choice.device!r} is unknown", hint="use auto, cpu, cuda, cuda:N or mps"
        )
    devices = (
        _openvino_devices(choice) if choice.backend == "openvino" else _torch_devices(choice.device)
    )
    return [
        Runtime(
            choice.backend,
            device,
            _dtype(choice, device),
            version(choice.backend),
            _device_name(device),
        )
        for device in devices
    ]


def likely_dtype(choice: ModelChoice) -> str:
    """Guess what `candidates` will decide, without the second that importing torch takes."""
    return _dtype(choice, "cuda" if choice.device.startswith("cuda") or _NVIDIA.exists() else "cpu")


def _dtype(choice: ModelChoice, device: str) -> str:
    if choice.exact:
        return "float32"
    if choice.dtype != "auto":
        return choice.dtype
    narrow = device.startswith("cuda") or (device == "cpu" and has_native_bf16())
    return "bfloat16" if narrow else "float32"


def has_native_bf16(cpuinfo: Path = _CPUINFO) -> bool:
    """Tell whether this processor multiplies bf16 in hardware, as the kernel lists its features."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False  # not Linux: nothing is known, so the exact way
    features = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return features is not None and not _NATIVE_BF16.isdisjoint(features[1].split())


def _torch_devices(wanted: str) -> list[str]:
    if wanted == "cpu" or (wanted == "auto" and not _may_have_gpu()):
        return [
            "cpu"
        ]  # without the second that importing torch takes: the daemon watches and decodes meanwhile
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        return ["cuda"] if cuda else ["mps", "cpu"] if mps else ["cpu"]
    device = torch.device(wanted)
    there = {
        "cpu": True,
        "mps": mps,
        "cuda": cuda and (device.index or 0) < torch.cuda.device_count(),
    }
    if not there[device.type]:
        raise ModelError(
            f"model.device {wanted!r} is not there, as torch {torch.__version__} sees it",
            hint="set model.device to auto or cpu; for cuda check the driver with nvidia-smi, and torch's build",
        )
    return [wanted]


def _may_have_gpu() -> bool:
    return sys.platform != "linux" or any(driver.exists() for driver in _GPUS)


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device)


def _openvino_devices(choice: ModelChoice) -> list[str]:
    if find_spec("openvino") is None:
        raise ModelError(
            "openvino is not installed",
            hint="pip install 'fundusd[openvino]', or set model.backend to torch",
        )
    if choice.device not in {"auto", "cpu"}:
        raise SettingsError(
            f"model.backend openvino runs on the CPU, not on {choice.device!r}",
            hint="set model.device to cpu, or model.backend to torch",
        )
    return ["cpu"]
