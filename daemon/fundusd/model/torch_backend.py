"""The vision tower on torch: on a CPU as it comes, on CUDA as graphs of fixed sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors.torch import load_file

from fundusd.errors import ModelError, OutOfMemory
from fundusd.model.tower import Shape, build, to_patches

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.domain import Embeddings, Pixels
    from fundusd.model.cache import Part
    from fundusd.model.runtime import Runtime

Answer = TypeVar("Answer")


def bucket_sizes(limit: int) -> list[int]:
    """Return the batch sizes worth a graph each: powers of two, and the limit itself.

    >>> bucket_sizes(16), bucket_sizes(6), bucket_sizes(1)
    ([1, 2, 4, 8, 16], [1, 2, 4, 6], [1])
    """
    powers = [2**exponent for exponent in range(limit.bit_length()) if 2**exponent < limit]
    return [*powers, limit]


class TorchBackend:
    """Embed pictures with torch; raises OutOfMemory, and ModelError once the device is lost."""

    def __init__(self, part: Part, runtime: Runtime, limit: int) -> None:
        self.shape = Shape(**part.facts["shape"])
        self._device = torch.device(runtime.device)
        self._device_name = runtime.device_name
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32
        weights = load_file(part.path("tower.safetensors"), device=runtime.device)
        self._dtype = weights["positions"].dtype
        self._tower = build(self.shape, weights)
        self._buckets: list[_Bucket] = []
        if self._device.type == "cuda":
            self._buckets = self._guarded(lambda: captured(self._forward, self.shape, self._device, limit), limit)

    @property
    def limit(self) -> int:
        """Return how many pictures one forward takes at most; more buy nothing on a CPU."""
        return self._buckets[-1].size if self._buckets else 1

    @property
    def probes(self) -> bool:
        """Tell whether a part of a picture proves it: where kernels are not chosen by batch size, and slow."""
        return not self._buckets

    def embed(self, pixels: Pixels) -> Embeddings:
        """Turn uint8 [b, side, side, 3] into pooled embeddings, fp32 [b, d]."""
        given = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())
        return self._guarded(lambda: self._embed(given), len(pixels))

    def probe(self, pixels: Pixels) -> Embeddings:
        """Embed only the first rows of each picture."""
        given = torch.tensor(pixels).to(self._device)
        first: Embeddings = self._forward(given, self.shape.probed).cpu().numpy()
        return first

    def _embed(self, pixels: torch.Tensor) -> Embeddings:
        # never more than the limit, on a CPU one: the same bits for the same picture in any company
        parts = [self._answer(part) for part in torch.split(pixels, self.limit)]
        embeddings: Embeddings = torch.cat(parts).numpy()
        return embeddings

    def _answer(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._buckets:
            return bucketed(self._buckets, pixels)
        return self._forward(pixels.to(self._device)).cpu()

    def _forward(self, pixels: torch.Tensor, first: int | None = None) -> torch.Tensor:
        with torch.inference_mode():
            patches = to_patches(pixels, self.shape.patch).to(self._dtype)
            pooled: torch.Tensor = self._tower(patches[:, :first])
            return pooled.float()

    def _guarded(self, work: Callable[[], Answer], batch: int) -> Answer:
        try:
            return work()
        except torch.OutOfMemoryError:
            pass
        except RuntimeError as error:
            if not _is_lost(error):
                raise
            raise ModelError(
                f"{self._device_name} stopped working ({str(error).partition(chr(10))[0]})",
                hint="the service starts again by itself; if this repeats: nvidia-smi, and Xid errors in journalctl -k",
            ) from None
        # outside the except block: the traceback would keep the failed forward's tensors alive
        torch.cuda.empty_cache()
        raise OutOfMemory(f"{self._device_name} has no memory for a batch of {batch}")


def _is_lost(error: RuntimeError) -> bool:
    """Tell an error after which the process cannot use its device any more from one of a single picture."""
    accelerator: type[Exception] | None = getattr(torch, "AcceleratorError", None)  # since torch 2.8
    return (accelerator is not None and isinstance(error, accelerator)) or str(error).startswith(
        ("CUDA error", "CUDA driver error")
    )


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Buffers for one batch size, and what turns `given` into `answer`."""

    size: int
    host: torch.Tensor  # page-locked, so that the copy needs no second one
    given: torch.Tensor
    answer: torch.Tensor
    replay: Callable[[], None]


def bucketed(buckets: list[_Bucket], pixels: torch.Tensor) -> torch.Tensor:
    """Embed pictures in the smallest bucket that holds them; what is left of it is old pictures, ignored."""
    count = len(pixels)
    bucket = next(bucket for bucket in buckets if bucket.size >= count)
    bucket.host[:count] = pixels
    bucket.given[:count].copy_(bucket.host[:count], non_blocking=True)
    bucket.replay()
    return bucket.answer[:count].to("cpu", copy=True)


def captured(
    forward: Callable[[torch.Tensor], torch.Tensor], shape: Shape, device: torch.device, limit: int
) -> list[_Bucket]:
    """Make a bucket for each size, largest last, until memory runs out; raises torch.OutOfMemoryError for size 1."""
    buckets: list[_Bucket] = []
    for size in bucket_sizes(limit):
        try:
            buckets.append(_capture(forward, (size, shape.side, shape.side, 3), device))
        except torch.OutOfMemoryError:
            if not buckets:
                raise
            break
    return buckets


def _capture(forward: Callable[[torch.Tensor], torch.Tensor], sizes: tuple[int, ...], device: torch.device) -> _Bucket:
    on_cuda = device.type == "cuda"
    host = torch.zeros(sizes, dtype=torch.uint8, pin_memory=on_cuda)
    given = host.to(device)
    if not on_cuda:
        answer = forward(given)

        def again() -> None:
            with torch.inference_mode():
                answer.copy_(forward(given))

        return _Bucket(sizes[0], host, given, answer, again)
    side_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(side_stream):  # libraries choose their kernels before, not during the capture
        for _ in range(3):
            forward(given)
    side_stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answer = forward(given)
    return _Bucket(sizes[0], host, given, answer, graph.replay)
