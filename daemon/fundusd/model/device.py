"""Choose the backend, device and dtype before any weights are read."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fundusd.domain.errors import DeviceNotReady, ModelError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.model.locate import ModelChoice

DTYPES = ("float32", "bfloat16")
# without one of these, a CPU computes bf16 slower than fp32
_NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}
_CPUINFO = Path("/proc/cpuinfo")
_NVIDIA = Path("/dev/nvidiactl")
_WSL = Path("/dev/dxg")  # either driver
_NVIDIA_DRIVERS = (_NVIDIA, Path("/sys/module/nvidia"), _WSL)  # nodes may appear at the first use
_AMD_DRIVERS = (Path("/dev/kfd"), _WSL)  # also on processors whose graphics nobody computes with


@dataclass(frozen=True, slots=True)
class Runtime:
    """The properties of the machine that can change the last digits of a score."""

    backend: str  # "torch" | "openvino"
    device: str  # "cpu", "mps", "cuda", "cuda:1"
    dtype: str
    version: str  # of the backend's library
    device_name: str  # as the vendor names the device

    @property
    def is_cpu(self) -> bool:
        """Return whether the model runs on the CPU, where batching has no benefit."""
        return self.device == "cpu"

    def __str__(self) -> str:
        """Return the description of this runtime that is stored in the release."""
        return f"{self.backend} {self.version} on {self.device_name}"


def candidates(choice: ModelChoice) -> list[Runtime]:
    """Return the runtimes to try, best first.

    There are two for device `auto` on a Mac with MPS, and otherwise one. Raises SettingsError if a
    setting is not supported, ModelError if the device or OpenVINO is missing, or DeviceNotReady.
    """
    if choice.dtype not in {"auto", *DTYPES}:
        reason = ""
        if "16" in choice.dtype:
            reason = ": its range is too narrow, and it is slow on CPUs"
        raise SettingsError(
            f"model.dtype {choice.dtype!r} is not supported{reason}.",
            hint=f"Use auto, {' or '.join(DTYPES)}.",
        )
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", choice.device):
        raise SettingsError(
            f"model.device {choice.device!r} is unknown.",
            hint="Use auto, cpu, cuda, cuda:N or mps.",
        )
    if choice.backend == "openvino":
        devices = _openvino_devices(choice)
    else:
        devices = _torch_devices(choice.device)
    return [_runtime(choice, device) for device in devices]


def _runtime(choice: ModelChoice, device: str) -> Runtime:
    return Runtime(
        backend=choice.backend,
        device=device,
        dtype=_dtype(choice, device),
        version=version(choice.backend),
        device_name=_device_name(device),
    )


def likely_dtype(choice: ModelChoice) -> str:
    """Guess which dtype `candidates` will choose.

    The guess does not need torch, whose import takes a second.
    """
    if choice.device.startswith("cuda") or _NVIDIA.exists():
        return _dtype(choice, "cuda")
    return _dtype(choice, "cpu")


def _dtype(choice: ModelChoice, device: str) -> str:
    if choice.exact:
        return "float32"
    if choice.dtype != "auto":
        return choice.dtype
    if device.startswith("cuda") or (device == "cpu" and has_native_bf16()):
        return "bfloat16"
    return "float32"


def has_native_bf16(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the kernel reports that this processor multiplies bf16 in hardware."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False  # not Linux: the features are unknown, so use fp32
    features = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return features is not None and not _NATIVE_BF16.isdisjoint(features[1].split())


def _torch_devices(wanted: str) -> list[str]:
    # decided without importing torch, which takes a second
    if wanted == "cpu" or (wanted == "auto" and not may_have_gpu()):
        return ["cpu"]
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        if cuda:
            return ["cuda"]
        return ["mps", "cpu"] if mps else ["cpu"]
    device = torch.device(wanted)
    is_available = {
        "cpu": True,
        "mps": mps,
        "cuda": cuda and (device.index or 0) < torch.cuda.device_count(),
    }
    if not is_available[device.type]:
        if device.type == "cuda" and not cuda and _fits_a_driver():
            raise not_ready("The GPU", _cuda_problem())
        raise ModelError(
            f"torch {torch.__version__} finds no device {wanted!r} (model.device).",
            hint="Set model.device to auto or cpu. For cuda, check the driver with nvidia-smi, and "
            "check that torch was built for CUDA.",
        )
    return [wanted]


def not_ready(name: str, problem: str) -> DeviceNotReady:
    """Return the error that a device does not take work yet; `problem` is what torch says."""
    return DeviceNotReady(
        f"{name} is not ready, although its driver is there ({problem}).",
        hint="The service tries again by itself. If the device does not come up, look for the"
        " reason with nvidia-smi, journalctl -k and systemctl status nvidia-persistenced"
        " nvidia-fabricmanager: another program may use it alone, or the driver may be too old for"
        " this torch. To do without it, set model.device to cpu.",
    )


def _fits_a_driver() -> bool:
    """Return whether the driver for whose devices torch was built, NVIDIA's or AMD's, is there."""
    import torch

    builds = ((torch.version.cuda, _NVIDIA_DRIVERS), (torch.version.hip, _AMD_DRIVERS))
    return any(build and _is_any_there(drivers) for build, drivers in builds)


def _is_any_there(drivers: Iterable[Path]) -> bool:
    return any(driver.exists() for driver in drivers)


def _cuda_problem() -> str:
    """Return the first line of the error with which CUDA does not start."""
    import torch

    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:  # the latter if torch was built without it
        return first_line(error)
    return "torch finds no device that it can use"


def first_line(error: Exception) -> str:
    """Return the first line of an error of torch; advice for programmers follows it."""
    return str(error).partition("\n")[0]


def unused_gpu(choice: ModelChoice, runtime: Runtime) -> str:
    """Return why a GPU whose driver is there is not used, or "" if it is used or not asked for."""
    is_wanted = choice.device == "auto" and choice.backend == "torch"
    if not (is_wanted and runtime.is_cpu and sys.platform == "linux" and may_have_gpu()):
        return ""
    # a torch for the CPU beside NVIDIA's driver is a mistake; beside AMD's, it is the rule
    if not (_fits_a_driver() or _is_any_there(_NVIDIA_DRIVERS)):
        return ""
    return _cuda_problem()


def may_have_gpu() -> bool:
    """Return whether the driver of a GPU is there."""
    return sys.platform != "linux" or _is_any_there((*_NVIDIA_DRIVERS, *_AMD_DRIVERS))


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    try:
        return torch.cuda.get_device_name(device)
    except (RuntimeError, AssertionError) as error:
        raise not_ready(f"The device {device}", first_line(error)) from None


def _openvino_devices(choice: ModelChoice) -> list[str]:
    if find_spec("openvino") is None:
        raise ModelError(
            "OpenVINO is not installed.",
            hint="Run: pip install 'fundusd[openvino]'; or set model.backend to torch.",
        )
    if choice.device not in {"auto", "cpu"}:
        raise SettingsError(
            f"model.backend openvino runs on the CPU, not on {choice.device!r}.",
            hint="Set model.device to cpu, or model.backend to torch.",
        )
    return ["cpu"]
