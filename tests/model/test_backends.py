"""Every backend computes the same tower and only the tower; otherwise it is refused."""

from __future__ import annotations

import random
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
import pytest
import torch
from fundusd_bench import flops, random_checkpoint
from safetensors.torch import load_file, save_file
from tests.model.model_cases import SINGLE, loaded, planned, refusal, some_pixels

from fundusd.domain.clinical_terms import Grade
from fundusd.domain.errors import (
    DeviceLost,
    DeviceNotReady,
    ModelError,
    ModelRefused,
    OutOfMemory,
)
from fundusd.model import device, export, prepare, torch_backend, transformers_loader
from fundusd.model.cuda_graphs import BatchPipeline, bucket_sizes, capture_buckets
from fundusd.model.locate import ModelChoice, find
from fundusd.model.prepared_parts import PreparedParts
from fundusd.model.torch_backend import TorchBackend
from fundusd.model.vision_tower import Shape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fundusd.model.classifier import ZeroShotClassifier

NARROW = pytest.mark.skipif(
    not device.has_native_bf16(), reason="OpenVINO has no bfloat16 on this processor"
)
MEDSIGLIP = Shape(side=448, patch=14, width=1152, hidden=4304, layers=27, heads=16, epsilon=1e-6)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    random_checkpoint.write(folder, tiny=True)
    return folder


@pytest.fixture(scope="module")
def exact(tiny: Path) -> ZeroShotClassifier:
    return loaded(ModelChoice(str(tiny), prompts=SINGLE, exact=True))


def cosines(first: Any, second: Any) -> Any:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / lengths


def test_the_tower_computes_what_transformers_does(tiny: Path, exact: ZeroShotClassifier) -> None:
    pixels = some_pixels(3)
    expected = export.embed(
        transformers_loader.read(find(ModelChoice(str(tiny)))), torch.tensor(pixels)
    ).numpy()

    np.testing.assert_allclose(exact.embed(pixels), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("backend", "dtype", "least"),
    [
        ("openvino", "float32", 0.999999),
        pytest.param("openvino", "bfloat16", 0.9999, marks=NARROW),
        ("torch", "bfloat16", 0.9999),
    ],
)
def test_backends_agree(
    tiny: Path, exact: ZeroShotClassifier, backend: str, dtype: str, least: float
) -> None:
    pixels = some_pixels(3)
    other = loaded(ModelChoice(str(tiny), prompts=SINGLE, backend=backend, dtype=dtype))
    embedded = other.embed(pixels)

    assert embedded.dtype == np.float32
    assert cosines(embedded, exact.embed(pixels)).min() >= least
    assert cosines(exact.embed(pixels)[:1], exact.embed(pixels)[1:]).max() < least, (
        "these pixels prove nothing"
    )
    assert other.release.runtime.startswith(backend)


@NARROW
def test_openvino_keeps_a_compiled_graph_for_each_dtype(
    tiny: Path, exact: ZeroShotClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pixels = some_pixels(1)
    for dtype in ("float32", "bfloat16", "float32"):
        choice = ModelChoice(str(tiny), prompts=SINGLE, backend="openvino", dtype=dtype)
        assert cosines(loaded(choice).embed(pixels), exact.embed(pixels)).min() >= 0.9999


@pytest.mark.skipif(
    device.has_native_bf16(), reason="this processor multiplies bfloat16 in hardware"
)
def test_openvino_is_refused_where_it_would_compute_in_another_dtype_than_the_release_says(
    tiny: Path,
) -> None:
    error = refusal(ModelChoice(str(tiny), prompts=SINGLE, backend="openvino", dtype="bfloat16"))

    assert "computes in f32 on this processor, not in bfloat16" in error.message
    assert "float32" in error.hint


class Float32Core:
    """OpenVINO on a processor without bfloat16: it compiles for float32 and reports no error."""

    def compile_model(self, *_: Any) -> Float32Core:
        return self

    def get_property(self, _name: str) -> Float32Core:
        return self

    def get_type_name(self) -> str:
        return "f32"


def test_openvino_that_silently_uses_another_dtype_is_refused_on_any_processor(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = ModelChoice(str(tiny), prompts=SINGLE, backend="openvino", dtype="bfloat16")
    planned(choice).prepare()
    monkeypatch.setattr(openvino, "Core", Float32Core)

    assert "computes in f32 on this processor, not in bfloat16" in refusal(choice).message


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [
        ("torch", "float32"),
        ("torch", "bfloat16"),
        ("openvino", "float32"),
        pytest.param("openvino", "bfloat16", marks=NARROW),
    ],
)
def test_a_capture_has_the_same_bits_alone_and_in_any_company(
    tiny: Path, backend: str, dtype: str
) -> None:
    classifier = loaded(ModelChoice(str(tiny), prompts=SINGLE, backend=backend, dtype=dtype))
    pixels = some_pixels(5)
    alone = [classifier.logits(pixels[index : index + 1])[0] for index in range(5)]

    assert classifier.forward_limit == 1, "on a CPU the worker never asks for more than one"
    for company in ([0, 1, 2, 3, 4], [4, 2, 0], [3, 3], [1, 4, 1, 0]):
        for logits, index in zip(classifier.logits(pixels[company]), company, strict=True):
            np.testing.assert_array_equal(logits, alone[index])


def test_a_forward_costs_the_vision_tower_and_nothing_else(tiny: Path) -> None:
    plan = planned(ModelChoice(str(tiny), prompts=SINGLE, dtype="float32"))
    plan.prepare()
    classifier = plan.load()
    shape = export.shape_of(transformers_loader.read(plan.checkpoint), plan.checkpoint)

    counted = [flops.count(classifier, some_pixels(count)) for count in (1, 3)]

    assert counted == pytest.approx([flops.of_tower(shape), 3 * flops.of_tower(shape)], rel=0.01)


def test_medsiglips_tower_costs_979_gflop() -> None:
    assert flops.of_tower(MEDSIGLIP) / 1e9 == pytest.approx(979.2, rel=0.001)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a test its own cache, since it damages what other tests share."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def in_the_layers(weights: dict[str, torch.Tensor]) -> None:
    weights["layers.0.qkv.weight"] = weights["layers.0.qkv.weight"].roll(1, 0)
    weights["layers.1.mlp.up.weight"] = weights["layers.1.mlp.up.weight"].roll(1, 0)


def beyond_the_probe(weights: dict[str, torch.Tensor]) -> None:
    positions = weights["positions"]
    weights["positions"] = torch.cat(
        [positions[: len(positions) // 2], positions[len(positions) // 2 :].flip(0)]
    )


def sabotage(
    plan: Any, name: str, spoil: Callable[[dict[str, torch.Tensor]], None] = in_the_layers
) -> None:
    """Replace a part by one with other weights and the digests that belong to them."""
    prepared = PreparedParts(plan.checkpoint)
    part = prepared.find(name)
    assert part is not None
    weights = load_file(part.path("tower.safetensors"))
    spoil(weights)
    with prepared.writing(name, part.facts) as place:
        save_file(weights, place / "tower.safetensors")


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_tower_that_computes_something_else_is_refused(tmp_path: Path, dtype: str) -> None:
    random_checkpoint.write(tmp_path / "checkpoint", tiny=True, seed=3)
    plan = planned(ModelChoice(str(tmp_path / "checkpoint"), prompts=SINGLE, dtype=dtype))
    plan.prepare()
    plan.load()
    sabotage(plan, f"torch-{dtype}")

    with pytest.raises(ModelError, match="computes wrong embeddings") as caught:
        plan.load()
    assert "float32" in caught.value.hint


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("thorough", [False, True])
def test_the_probe_and_the_whole_picture_both_refuse(tmp_path: Path, *, thorough: bool) -> None:
    random_checkpoint.write(tmp_path / "checkpoint", tiny=True, seed=4)
    plan = planned(ModelChoice(str(tmp_path / "checkpoint"), prompts=SINGLE, dtype="float32"))
    plan.prepare()
    plan.load(thorough=thorough)
    sabotage(plan, "torch-float32")

    with pytest.raises(ModelError, match="computes wrong embeddings"):
        plan.load(thorough=thorough)


@pytest.mark.usefixtures("own_cache")
def test_the_night_round_sees_what_an_eighth_of_a_picture_does_not_show(tmp_path: Path) -> None:
    random_checkpoint.write(tmp_path / "checkpoint", tiny=True, seed=5)
    plan = planned(ModelChoice(str(tmp_path / "checkpoint"), prompts=SINGLE, dtype="float32"))
    plan.prepare()
    results = list(plan.load().run_self_test())
    assert len(results) == len(Grade), "a phantom of each grade"
    assert all(result.tolerance <= result.cosine <= 1.00001 for result in results)
    sabotage(plan, "torch-float32", beyond_the_probe)

    classifier = plan.load()
    with pytest.raises(ModelRefused, match="computes wrong embeddings"):
        list(classifier.run_self_test())
    with pytest.raises(ModelRefused, match="computes wrong embeddings"):
        plan.load(thorough=True)


@pytest.mark.usefixtures("own_cache")
def test_weights_that_turn_into_no_numbers_under_a_running_model_are_found_by_the_night_round(
    tmp_path: Path,
) -> None:
    """Such weights appear if a mapped part is overwritten."""
    random_checkpoint.write(tmp_path / "checkpoint", tiny=True, seed=6)
    plan = planned(ModelChoice(str(tmp_path / "checkpoint"), prompts=SINGLE, dtype="float32"))
    plan.prepare()
    classifier = plan.load()
    path = PreparedParts(plan.checkpoint).folder / "torch-float32" / "tower.safetensors"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 4096)  # NaN

    assert not np.isfinite(classifier.logits(some_pixels(1))).all(), (
        "the mapping does not show it: is it a copy?"
    )
    with pytest.raises(ModelRefused, match="not finite"):
        list(classifier.run_self_test())
    with pytest.raises(ModelError, match=r"tower\.safetensors has other content"):
        classifier.require_unchanged(lambda: None)


def backend_of(folder: Path) -> TorchBackend:
    plan = planned(ModelChoice(str(folder), prompts=SINGLE, dtype="float32", device="cpu"))
    plan.prepare()
    part = PreparedParts(plan.checkpoint).find(prepare.tower_part("torch", "float32"))
    assert part is not None
    return TorchBackend(part, plan.runtime, 16)


class ThreadStream:
    """A stream without a device: a thread that executes its queue in order, with delays."""

    def __init__(self, seed: int = 0) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._dice = random.Random(seed)

    def enqueue(self, work: Callable[[], object]) -> None:
        self._queue(work, self._dice.choice([0, 0.04]))

    def record_event(self) -> ThreadEvent:
        return ThreadEvent(self._queue(lambda: None, 0))

    def wait_event(self, event: ThreadEvent) -> None:
        self._queue(event.synchronize, 0)

    def _queue(self, work: Callable[[], object], dawdle: float) -> Future[object]:
        def late() -> object:
            time.sleep(dawdle)  # so that code that does not wait for this work fails
            return work()

        return self._thread.submit(late)


class ThreadEvent:
    def __init__(self, reached: Future[object]) -> None:
        self._reached = reached

    def synchronize(self) -> None:
        self._reached.result(60)


def on_threads(backend: TorchBackend, limit: int) -> BatchPipeline:
    """Give a backend the pipeline that a GPU has, with threads for streams."""
    seeds = iter(range(10))
    device = torch.device("cpu")
    buckets = capture_buckets(backend._forward, backend.shape, device, limit)
    assert [bucket.size for bucket in buckets] == bucket_sizes(limit)
    backend._pipeline = BatchPipeline(buckets, device, lambda: ThreadStream(next(seeds)))
    return backend._pipeline


def test_buckets_give_each_picture_its_own_answer(tiny: Path, exact: ZeroShotClassifier) -> None:
    """The pipeline runs plain forwards on threads in place of CUDA graphs on streams."""
    backend = backend_of(tiny)
    on_threads(backend, 6)
    pixels = some_pixels(6)

    for count in (6, 1, 3, 2, 5):
        np.testing.assert_allclose(
            backend.embed(pixels[:count]), exact.embed(pixels[:count]), atol=2e-6
        )


def test_two_batches_in_flight_never_reach_into_each_other(
    tiny: Path, exact: ZeroShotClassifier
) -> None:
    backend = backend_of(tiny)
    on_threads(backend, 4)
    pixels, dice = some_pixels(12), random.Random(0)
    expected = exact.embed(pixels)
    flying: list[tuple[list[int], Callable[[], Any]]] = []

    def land() -> None:
        chosen, answer = flying.pop(0)
        np.testing.assert_allclose(answer(), expected[chosen], atol=2e-6)

    for _ in range(60):
        chosen = dice.sample(range(12), dice.choice([1, 2, 3, 4, 4]))
        flying.append((chosen, backend.begin(pixels[chosen])))
        if len(flying) == 2:
            land()
    land()


def test_a_third_batch_in_flight_is_refused_and_the_two_are_unharmed(
    tiny: Path, exact: ZeroShotClassifier
) -> None:
    backend = backend_of(tiny)
    on_threads(backend, 2)
    pixels = some_pixels(3)
    first, second = backend.begin(pixels[:1]), backend.begin(pixels[1:2])

    with pytest.raises(RuntimeError, match="two batches are in flight"):
        backend.begin(pixels[2:])
    np.testing.assert_allclose(second(), exact.embed(pixels[1:2]), atol=2e-6)
    np.testing.assert_allclose(first(), exact.embed(pixels[:1]), atol=2e-6)
    np.testing.assert_allclose(backend.begin(pixels[2:])(), exact.embed(pixels[2:]), atol=2e-6)


def test_the_gate_refuses_a_device_that_mixes_two_batches_up(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device does so if nothing waits for its copies."""
    plan = planned(ModelChoice(str(tiny), prompts=SINGLE, dtype="float32", device="cpu"))
    plan.prepare()
    made = TorchBackend.__init__

    def with_buckets(self: TorchBackend, part: Any, runtime: Any, limit: int) -> None:
        made(self, part, runtime, limit)
        on_threads(self, 2)

    monkeypatch.setattr(TorchBackend, "__init__", with_buckets)
    classifier = plan.load()
    assert classifier.overlaps
    answer = classifier.begin(some_pixels(1))
    assert len(list(classifier.run_self_test())) == 2 + 4, (
        "both sizes, and the other phantoms alone, beside a batch in flight"
    )
    assert answer().shape == (1, 5)
    begin = BatchPipeline.begin
    flying: list[Any] = []

    def mixed_up(self: BatchPipeline, pixels: torch.Tensor) -> Any:
        flying.append(begin(self, pixels))
        return lambda: flying.pop()()  # noqa: PLW0108  which batch is decided at the call

    monkeypatch.setattr(BatchPipeline, "begin", mixed_up)
    with pytest.raises(ModelError, match="computes wrong embeddings"):
        plan.load()


def test_more_than_the_largest_bucket_goes_in_turns(tiny: Path, exact: ZeroShotClassifier) -> None:
    backend = backend_of(tiny)
    on_threads(backend, 2)

    assert backend.limit == 2
    np.testing.assert_allclose(
        backend.embed(some_pixels(5)), exact.embed(some_pixels(5)), atol=2e-6
    )


def test_buckets_stop_where_memory_does(tiny: Path) -> None:
    backend = backend_of(tiny)

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 3:
            raise torch.OutOfMemoryError
        return backend._forward(pixels)

    buckets = capture_buckets(forward, backend.shape, torch.device("cpu"), 16)
    assert [bucket.size for bucket in buckets] == [1, 2]


def test_a_device_without_memory_for_one_picture_has_no_bucket(tiny: Path) -> None:
    def forward(_pixels: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        capture_buckets(forward, MEDSIGLIP, torch.device("cpu"), 4)


def test_a_device_without_memory_says_how_large_the_batch_was(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of(tiny)

    def full(_patches: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(backend._tower, "forward", full)
    with pytest.raises(OutOfMemory, match="batch of 2") as caught:
        backend.embed(some_pixels(2))
    assert caught.value.__context__ is None, "a kept traceback would keep the tensors"


def test_a_device_that_refuses_its_first_work_is_not_ready(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> dict[str, torch.Tensor]:
        raise RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable\n...")

    monkeypatch.setattr(torch_backend, "load_file", busy)
    with pytest.raises(DeviceNotReady, match=r"is not ready.*busy or unavailable\)"):
        backend_of(tiny)


def test_a_device_that_is_lost_is_no_fault_of_the_picture(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of(tiny)

    def lost(_patches: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with ...")

    monkeypatch.setattr(backend._tower, "forward", lost)
    with pytest.raises(
        DeviceLost,
        match=r"stopped working \(CUDA error: an illegal memory access was encountered\)",
    ):
        backend.embed(some_pixels(1))

    def broken(_patches: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(backend._tower, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        backend.embed(some_pixels(1))
