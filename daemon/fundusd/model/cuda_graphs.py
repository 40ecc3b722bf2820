"""Keep two batches in flight on a device: one is copied to it while the other is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.model.vision_tower import Shape

    Forward = Callable[[torch.Tensor], torch.Tensor]

_IN_FLIGHT = 2  # one is computed, one is copied; a third would only wait
AnyEvent = TypeVar("AnyEvent", bound="Event")


class Event(Protocol):
    """A position in a stream's queue."""

    def synchronize(self) -> None:
        """Wait until the stream reaches this event.

        Raises RuntimeError if earlier work failed.
        """
        ...


class Stream(Protocol[AnyEvent]):
    """A queue of work for a device.

    The work is executed in order, concurrently with other streams and with the host.
    """

    def enqueue(self, work: Callable[[], object]) -> None:
        """Queue the device operations that `work` issues."""
        ...

    def record_event(self) -> AnyEvent:
        """Record and return an event that completes when the work queued so far has finished."""
        ...

    def wait_event(self, event: AnyEvent) -> None:
        """Make later work in this stream wait for an event of another stream."""
        ...


class CudaStream:
    """A stream of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def enqueue(self, work: Callable[[], object]) -> None:
        """Queue the device operations that `work` issues."""
        with torch.cuda.stream(self._stream):
            work()

    def record_event(self) -> torch.cuda.Event:
        """Record and return an event that completes when the work queued so far has finished."""
        event: torch.cuda.Event = self._stream.record_event()
        return event

    def wait_event(self, event: torch.cuda.Event) -> None:
        """Make later work in this stream wait for an event of another stream."""
        self._stream.wait_event(event)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The buffers of one batch size, and `replay`, which computes `embeddings` from `pixels`."""

    size: int
    pixels: torch.Tensor
    embeddings: torch.Tensor
    replay: Callable[[], None]


@dataclass(slots=True)
class _Slot:
    """The buffers of one batch in flight.

    On CUDA, the buffers in host memory are pinned, which avoids a second copy.
    """

    host: torch.Tensor
    staged: torch.Tensor
    embeddings: torch.Tensor
    is_free: bool = True


class BatchPipeline:
    """Run batches through buckets, two at a time.

    Only one thread may use a pipeline. A slot is reused only after its result has been collected,
    and the buckets' own buffers belong to the computing stream, which executes in order. A batch
    therefore cannot overwrite another batch's data.
    """

    def __init__(
        self,
        buckets: list[Bucket],
        device: torch.device,
        make_stream: Callable[[], Stream[AnyEvent]],
    ) -> None:
        self._buckets = buckets
        self._copying, self._computing = make_stream(), make_stream()
        largest = buckets[-1]
        self._slots = [_slot(largest, device) for _ in range(_IN_FLIGHT)]

    @property
    def limit(self) -> int:
        """Return the size of the largest bucket."""
        return self._buckets[-1].size

    def begin(self, pixels: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Start a batch of up to `limit` images.

        Returns a function that waits for their embeddings and must be called exactly once. Raises
        RuntimeError if two batches are in flight already, or if the device fails.
        """
        slot, count = self._free_slot(), len(pixels)
        bucket = self._smallest_bucket(count)
        slot.host[:count] = pixels
        self._copying.enqueue(
            lambda: slot.staged[:count].copy_(slot.host[:count], non_blocking=True)
        )
        self._computing.wait_event(self._copying.record_event())
        self._computing.enqueue(lambda: _compute(bucket, slot, count))
        done = self._computing.record_event()
        slot.is_free = False  # last, so that a batch that failed to start does not keep its slot
        return lambda: _collect(slot, count, done)

    def _free_slot(self) -> _Slot:
        for slot in self._slots:
            if slot.is_free:
                return slot
        raise RuntimeError("two batches are in flight already")

    def _smallest_bucket(self, count: int) -> Bucket:
        for bucket in self._buckets:
            if bucket.size >= count:
                return bucket
        raise RuntimeError(f"a batch of {count} is larger than every bucket")


def _slot(bucket: Bucket, device: torch.device) -> _Slot:
    pinned = device.type == "cuda"
    return _Slot(
        host=torch.zeros(bucket.pixels.shape, dtype=torch.uint8, pin_memory=pinned),
        staged=torch.zeros_like(bucket.pixels),
        embeddings=torch.zeros(bucket.embeddings.shape, pin_memory=pinned),
    )


def _compute(bucket: Bucket, slot: _Slot, count: int) -> None:
    """Embed the images in a slot.

    The rest of the bucket contains older images, whose embeddings are ignored.
    """
    bucket.pixels[:count].copy_(slot.staged[:count])
    bucket.replay()
    slot.embeddings[:count].copy_(bucket.embeddings[:count], non_blocking=True)


def _collect(slot: _Slot, count: int, done: Event) -> torch.Tensor:
    try:
        done.synchronize()
        return slot.embeddings[:count].clone()
    finally:
        slot.is_free = True


def bucket_sizes(limit: int) -> list[int]:
    """Return the batch sizes for which to capture a graph: powers of two, and the limit itself.

    >>> bucket_sizes(16), bucket_sizes(6), bucket_sizes(1)
    ([1, 2, 4, 8, 16], [1, 2, 4, 6], [1])
    """
    sizes, size = [], 1
    while size < limit:
        sizes.append(size)
        size *= 2
    return [*sizes, limit]


def capture_buckets(
    forward: Forward, shape: Shape, device: torch.device, limit: int
) -> list[Bucket]:
    """Return a bucket for each batch size that fits in memory, the largest last.

    Raises torch.OutOfMemoryError if there is no memory for size 1.
    """
    make_bucket = _graph_bucket if device.type == "cuda" else _plain_bucket
    buckets: list[Bucket] = []
    for size in bucket_sizes(limit):
        try:
            pixels = torch.zeros(
                (size, shape.side, shape.side, 3), dtype=torch.uint8, device=device
            )
            buckets.append(make_bucket(forward, pixels))
        except torch.OutOfMemoryError:
            if not buckets:
                raise
            break
    return buckets


def _graph_bucket(forward: Forward, pixels: torch.Tensor) -> Bucket:
    side_stream = torch.cuda.Stream(pixels.device)  # type: ignore[no-untyped-call]
    side_stream.wait_stream(torch.cuda.current_stream(pixels.device))
    with torch.cuda.stream(side_stream):
        for _ in range(3):  # libraries choose their kernels before the capture, not during it
            forward(pixels)
    side_stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(pixels.device), torch.cuda.graph(graph, stream=side_stream):
        embeddings = forward(pixels)
    return Bucket(len(pixels), pixels, embeddings, graph.replay)


def _plain_bucket(forward: Forward, pixels: torch.Tensor) -> Bucket:
    """Return a bucket without a graph, for testing the pipeline on a CPU."""
    embeddings = forward(pixels)

    def replay() -> None:
        with torch.inference_mode():
            embeddings.copy_(forward(pixels))

    return Bucket(len(pixels), pixels, embeddings, replay)
