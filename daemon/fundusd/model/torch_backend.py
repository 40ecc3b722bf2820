"""The vision tower on torch: on a CPU as it comes, on CUDA as graphs of fixed sizes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors.torch import load_file

from fundusd.domain.errors import DeviceLost, OutOfMemory
from fundusd.model.cuda_graphs import BatchPipeline, CudaStream, capture_buckets
from fundusd.model.vision_tower import Shape, build, to_patches

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Embeddings
    from fundusd.model.device import Runtime
    from fundusd.model.prepared_parts import Part

Answer = TypeVar("Answer")


class TorchBackend:
    """Embed pictures with torch; raises OutOfMemory, and DeviceLost once the device is."""

    def __init__(self, part: Part, runtime: Runtime, limit: int) -> None:
        self.shape = Shape(**part.facts["shape"])
        self._device = torch.device(runtime.device)
        self._device_name = runtime.device_name
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32
        weights = self._guarded(
            lambda: load_file(part.path("tower.safetensors"), device=runtime.device), 1
        )
        self._dtype = weights["positions"].dtype
        self._tower = build(self.shape, weights)
        self._pipeline: BatchPipeline | None = None
        if self._device.type == "cuda":
            self._pipeline = self._guarded(lambda: self._captured(limit), limit)

    @property
    def limit(self) -> int:
        """Return how many pictures one forward takes at most; more buy nothing on a CPU."""
        return self._pipeline.limit if self._pipeline else 1

    @property
    def overlaps(self) -> bool:
        """Tell whether a second batch may be begun while the first is computed."""
        return self._pipeline is not None

    @property
    def probes(self) -> bool:
        """Tell whether a part of a picture proves it: where kernels are not chosen by batch size, and slow."""
        return not self._pipeline

    def embed(self, pixels: Pixels) -> Embeddings:
        """Turn uint8 [b, side, side, 3] into pooled embeddings, fp32 [b, d]."""
        return self._guarded(lambda: self._embed(_as_tensor(pixels)), len(pixels))

    def begin(self, pixels: Pixels) -> Callable[[], Embeddings]:
        """Start to embed up to `limit` pictures; the answer is waited for by calling what is returned, once."""
        if self._pipeline is None:
            return partial(self.embed, pixels)
        buckets, count = self._pipeline, len(pixels)
        answer = self._guarded(lambda: buckets.begin(_as_tensor(pixels)), count)
        return lambda: self._guarded(answer, count).numpy()

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
        if self._pipeline:
            return self._pipeline.begin(pixels)()
        return self._forward(pixels.to(self._device)).cpu()

    def _captured(self, limit: int) -> BatchPipeline:
        made = capture_buckets(self._forward, self.shape, self._device, limit)
        buckets = BatchPipeline(made, self._device, lambda: CudaStream(self._device))
        torch.cuda.synchronize(self._device)  # its streams know nothing of what was queued so far
        return buckets

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
            raise DeviceLost(
                f"{self._device_name} stopped working ({str(error).partition(chr(10))[0]})",
                hint="the service starts again by itself; if this repeats: nvidia-smi, and Xid errors in journalctl -k",
            ) from None
        # outside the except block: the traceback would keep the failed forward's tensors alive
        torch.cuda.empty_cache()
        raise OutOfMemory(f"{self._device_name} has no memory for a batch of {batch}")


def _as_tensor(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


def _is_lost(error: RuntimeError) -> bool:
    """Tell an error after which the process cannot use its device any more from one of a single picture."""
    accelerator: type[Exception] | None = getattr(
        torch, "AcceleratorError", None
    )  # since torch 2.8
    return (accelerator is not None and isinstance(error, accelerator)) or str(error).startswith(
        ("CUDA error", "CUDA driver error")
    )
