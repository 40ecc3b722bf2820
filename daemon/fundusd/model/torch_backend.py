"""Run the vision tower on torch, as CUDA graphs of fixed sizes or, on other devices, directly."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors.torch import load_file

from fundusd.domain.errors import DeviceLost, OutOfMemory
from fundusd.model.cuda_graphs import BatchPipeline, CudaStream, capture_buckets
from fundusd.model.device import first_line, not_ready
from fundusd.model.vision_tower import Shape, build, to_patches

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Embeddings
    from fundusd.model.device import Runtime
    from fundusd.model.prepared_parts import Part

Output = TypeVar("Output")


class TorchBackend:
    """Embed images with torch.

    Its methods raise OutOfMemory if a batch does not fit in the device's memory, or DeviceLost if
    the device stops working; the constructor, DeviceNotReady if it does not work yet.
    """

    def __init__(self, part: Part, runtime: Runtime, limit: int) -> None:
        self.shape = Shape(**part.facts["shape"])
        self._device = torch.device(runtime.device)
        self._device_name = runtime.device_name
        torch.backends.cudnn.allow_tf32 = False  # compute fp32 in full precision
        weights = self._guarded(lambda: self._first_use(part), 1)
        self._dtype = weights["positions"].dtype
        self._tower = build(self.shape, weights)
        self._pipeline: BatchPipeline | None = None
        if self._device.type == "cuda":
            self._pipeline = self._guarded(lambda: self._captured_pipeline(limit), limit)

    @property
    def limit(self) -> int:
        """Return the largest number of images per forward pass, which is 1 without CUDA graphs."""
        return self._pipeline.limit if self._pipeline else 1

    @property
    def overlaps(self) -> bool:
        """Return whether a second batch may start while the first is being computed."""
        return self._pipeline is not None

    @property
    def can_probe(self) -> bool:
        """Return whether part of an image suffices for the self-test.

        Without CUDA graphs it does, since the batch size then does not change the kernels.
        """
        return not self._pipeline

    def embed(self, pixels: Pixels) -> Embeddings:
        """Return the pooled embeddings, fp32 [b, d], of uint8 images [b, side, side, 3]."""
        return self._guarded(lambda: self._embed(_as_tensor(pixels)), len(pixels))

    def begin(self, pixels: Pixels) -> Callable[[], Embeddings]:
        """Start embedding up to `limit` images.

        Returns a function that waits for the embeddings and must be called exactly once.
        """
        if self._pipeline is None:
            return partial(self.embed, pixels)
        pipeline, count = self._pipeline, len(pixels)
        collect = self._guarded(lambda: pipeline.begin(_as_tensor(pixels)), count)
        return lambda: self._guarded(collect, count).numpy()

    def probe(self, pixels: Pixels) -> Embeddings:
        """Return the embeddings of only the first rows of each image."""
        images = torch.tensor(pixels).to(self._device)
        embeddings: Embeddings = self._forward(images, self.shape.probe_patches).cpu().numpy()
        return embeddings

    def _first_use(self, part: Part) -> dict[str, torch.Tensor]:
        """Load the weights; raise DeviceNotReady if the device refuses to take its first work."""
        try:
            weights: dict[str, torch.Tensor] = load_file(
                part.path("tower.safetensors"), device=str(self._device)
            )
        except RuntimeError as error:
            if _is_device_error(error):
                raise not_ready(self._device_name, first_line(error)) from None
            raise
        return weights

    def _embed(self, pixels: torch.Tensor) -> Embeddings:
        # on a CPU, one at a time, so that an image gives the same bits in any batch
        parts = [self._embed_part(part) for part in torch.split(pixels, self.limit)]
        embeddings: Embeddings = torch.cat(parts).numpy()
        return embeddings

    def _embed_part(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._pipeline:
            return self._pipeline.begin(pixels)()
        return self._forward(pixels.to(self._device)).cpu()

    def _captured_pipeline(self, limit: int) -> BatchPipeline:
        buckets = capture_buckets(self._forward, self.shape, self._device, limit)
        pipeline = BatchPipeline(buckets, self._device, lambda: CudaStream(self._device))
        torch.cuda.synchronize(self._device)  # the pipeline's streams do not wait for earlier work
        return pipeline

    def _forward(self, pixels: torch.Tensor, patch_count: int | None = None) -> torch.Tensor:
        with torch.inference_mode():
            patches = to_patches(pixels, self.shape.patch).to(self._dtype)
            pooled: torch.Tensor = self._tower(patches[:, :patch_count])
            return pooled.float()

    def _guarded(self, work: Callable[[], Output], batch: int) -> Output:
        try:
            return work()
        except torch.OutOfMemoryError:
            pass
        except RuntimeError as error:
            if not _is_device_error(error):
                raise
            raise DeviceLost(
                f"{self._device_name} stopped working ({first_line(error)}).",
                hint="The service restarts by itself. If this happens again, run nvidia-smi, "
                "and look for Xid errors in journalctl -k.",
            ) from None
        # outside the except block, whose traceback would keep the failed pass's tensors alive
        torch.cuda.empty_cache()
        raise OutOfMemory(f"{self._device_name} has no memory for a batch of {batch}.")


def _as_tensor(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


def _is_device_error(error: RuntimeError) -> bool:
    """Return whether an error means that the process can no longer use its device."""
    # torch has had this class since 2.8
    accelerator_error: type[Exception] | None = getattr(torch, "AcceleratorError", None)
    if accelerator_error is not None and isinstance(error, accelerator_error):
        return True
    return str(error).startswith(("CUDA error", "CUDA driver error"))
