"""Backend, device and dtype are chosen before any weights are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fundusd.domain.errors import DeviceNotReady, ExitStatus, ModelError, SettingsError
from fundusd.model import device
from fundusd.model.locate import ModelChoice

ON_CPU = ModelChoice("phantom", device="cpu")


@pytest.mark.parametrize(
    ("features", "native"),
    [
        ("flags\t\t: fpu sse avx512f avx512_bf16 amx_tile", True),
        ("flags\t\t: fpu sse avx512f amx_bf16", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu sse avx2 avx512f", False),
        ("model name\t: avx512_bf16 in the name only", False),
        ("", False),
    ],
)
def test_bf16_is_native_where_the_kernel_lists_it(
    tmp_path: Path, features: str, *, native: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{features}\n")

    assert device.has_native_bf16(tmp_path / "cpuinfo") is native


def test_a_machine_without_cpuinfo_is_served_exactly(tmp_path: Path) -> None:
    assert device.has_native_bf16(tmp_path / "nothing") is False


def test_auto_is_narrow_only_where_that_is_native() -> None:
    (runtime,) = device.candidates(ON_CPU)

    assert runtime.dtype == ("bfloat16" if device.has_native_bf16() else "float32")
    assert runtime.is_cpu


def test_exact_is_fp32_whatever_the_machine_can() -> None:
    assert [
        runtime.dtype
        for runtime in device.candidates(ModelChoice("phantom", device="cpu", exact=True))
    ] == ["float32"]


def test_openvino_is_another_runtime_than_torch() -> None:
    (runtime,) = device.candidates(ModelChoice("phantom", backend="openvino", dtype="float32"))
    (other,) = device.candidates(ModelChoice("phantom", device="cpu", dtype="float32"))

    assert str(runtime).startswith("openvino 20")
    assert str(other).startswith("torch 2.")


def test_openvino_serves_no_gpu() -> None:
    with pytest.raises(SettingsError, match="runs on the CPU"):
        device.candidates(ModelChoice("phantom", backend="openvino", device="cuda"))


def test_openvino_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda _name: None)

    with pytest.raises(ModelError) as caught:
        device.candidates(ModelChoice("phantom", backend="openvino"))
    assert "pip install 'fundusd[openvino]'" in caught.value.hint


@pytest.fixture
def unready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a GPU's driver be there, and its device refuse to start."""

    def start() -> None:
        raise RuntimeError("CUDA error: system not yet initialized\nCUDA kernel errors might ...")

    monkeypatch.setattr(device, "_NVIDIA_DRIVERS", (Path("/dev/null"),))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", start)
    monkeypatch.setattr(torch.version, "cuda", "12.8")


@pytest.mark.usefixtures("unready")
def test_a_gpu_that_is_not_ready_has_its_own_sentence_and_may_be_ready_later() -> None:
    with pytest.raises(DeviceNotReady) as caught:
        device.candidates(ModelChoice("phantom", device="cuda"))
    assert caught.value.message == (
        "The GPU is not ready, although its driver is there"
        " (CUDA error: system not yet initialized)."
    )
    assert "nvidia-fabricmanager" in caught.value.hint
    assert caught.value.exit_code == ExitStatus.TEMPORARY


@pytest.mark.usefixtures("unready")
def test_a_gpu_that_is_not_ready_is_not_given_up_in_silence() -> None:
    choice = ModelChoice("phantom", device="auto")
    (runtime,) = device.candidates(choice)
    assert runtime.is_cpu
    assert device.unused_gpu(choice, runtime) == "CUDA error: system not yet initialized"
    assert device.unused_gpu(ON_CPU, runtime) == ""


@pytest.mark.usefixtures("unready")
def test_a_driver_for_which_torch_was_not_built_is_no_gpu_that_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AMD's driver is there on every processor with AMD's graphics."""
    monkeypatch.setattr(device, "_NVIDIA_DRIVERS", ())
    monkeypatch.setattr(device, "_AMD_DRIVERS", (Path("/dev/null"),))
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ModelError, match="finds no device 'cuda'") as caught:
        device.candidates(ModelChoice("phantom", device="cuda"))
    assert caught.value.exit_code == ExitStatus.UNAVAILABLE
    choice = ModelChoice("phantom", device="auto")
    (runtime,) = device.candidates(choice)
    assert device.unused_gpu(choice, runtime) == ""
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert device.unused_gpu(choice, runtime) == "CUDA error: system not yet initialized"


def test_a_torch_without_cuda_is_no_gpu_that_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_NVIDIA_DRIVERS", (Path("/dev/null"),))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ModelError, match="finds no device 'cuda'") as caught:
        device.candidates(ModelChoice("phantom", device="cuda"))
    assert caught.value.exit_code == ExitStatus.UNAVAILABLE


def test_a_gpu_that_fails_when_it_is_asked_for_its_name_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy(_device: str) -> str:
        raise RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable\n...")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", busy)
    with pytest.raises(DeviceNotReady, match="busy or unavailable"):
        device.candidates(ModelChoice("phantom", device="cuda", exact=True))
