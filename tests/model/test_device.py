"""Backend, device and dtype are chosen before any weights are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fundusd.domain.errors import ModelError, SettingsError
from fundusd.model import device
from fundusd.model.locate import ModelChoice

if TYPE_CHECKING:
    from pathlib import Path

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
