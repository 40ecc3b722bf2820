"""Two batches in flight on a device: while it computes one, the next is copied to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.model.vision_tower import Shape

    Forward = Callable[[torch.Tensor], torch.Tensor]

_IN_FLIGHT = 2  # one is computed, one is copied; a third would only wait
AnyMark = TypeVar("AnyMark", bound="Mark")


class Mark(Protocol):
    """A place in a stream's order of work."""

    def synchronize(self) -> None:
        """Wait until the stream came past; raises RuntimeError for work that failed before."""
        ...


class Stream(Protocol[AnyMark]):
    """What a device does one after another, beside other streams and beside us."""

    def do(self, work: Callable[[], object]) -> None:
        """Queue what `work` asks of the device."""
        ...

    def mark(self) -> AnyMark:
        """Return the place behind all that was queued."""
        ...

    def wait(self, mark: AnyMark) -> None:
        """Do nothing further before another stream came past `mark`."""
        ...


class CudaStream:
    """A stream of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def do(self, work: Callable[[], object]) -> None:
        """Queue what `work` asks of the device."""
        with torch.cuda.stream(self._stream):
            work()

    def mark(self) -> torch.cuda.Event:
        """Return the place behind all that was queued."""
        mark: torch.cuda.Event = self._stream.record_event()
        return mark

    def wait(self, mark: torch.cuda.Event) -> None:
        """Do nothing further before another stream came past `mark`."""
        self._stream.wait_event(mark)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Buffers for one batch size, and what turns `given` into `answer`."""

    size: int
    given: torch.Tensor
    answer: torch.Tensor
    replay: Callable[[], None]


@dataclass(slots=True)
class _Slot:
    """The buffers of one batch in flight; host memory is page-locked, so that a copy needs no second one."""

    host: torch.Tensor
    staged: torch.Tensor
    answer: torch.Tensor
    free: bool = True


class BatchPipeline:
    """Batches on their way through buckets; used by one thread.

    A slot is written again only once its answer was taken, and the buckets' own buffers belong to the computing
    stream, which does one thing after another: no batch can reach into another's.
    """

    def __init__(
        self,
        buckets: list[Bucket],
        device: torch.device,
        make_stream: Callable[[], Stream[AnyMark]],
    ) -> None:
        self._buckets = buckets
        self._copying, self._computing = make_stream(), make_stream()
        largest = buckets[-1]
        self._slots = [_slot(largest, device) for _ in range(_IN_FLIGHT)]

    @property
    def limit(self) -> int:
        """Return how many pictures the largest bucket holds."""
        return self._buckets[-1].size

    def begin(self, pixels: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Send up to `limit` pictures on their way; what is returned waits for their embeddings, once.

        Raises RuntimeError for a third batch in flight, and for what the device answers.
        """
        slot = next((slot for slot in self._slots if slot.free), None)
        if slot is None:
            raise RuntimeError("two batches are in flight already")
        count = len(pixels)
        bucket = next(bucket for bucket in self._buckets if bucket.size >= count)
        slot.host[:count] = pixels
        self._copying.do(lambda: slot.staged[:count].copy_(slot.host[:count], non_blocking=True))
        self._computing.wait(self._copying.mark())
        self._computing.do(lambda: _compute(bucket, slot, count))
        done = self._computing.mark()
        slot.free = False  # only now: what was not begun leaves its slot to the next
        return lambda: _taken(slot, count, done)


def _slot(bucket: Bucket, device: torch.device) -> _Slot:
    pinned = device.type == "cuda"
    return _Slot(
        host=torch.zeros(bucket.given.shape, dtype=torch.uint8, pin_memory=pinned),
        staged=torch.zeros_like(bucket.given),
        answer=torch.zeros(bucket.answer.shape, pin_memory=pinned),
    )


def _compute(bucket: Bucket, slot: _Slot, count: int) -> None:
    """Embed a slot's pictures; what is left of the bucket is old pictures, ignored."""
    bucket.given[:count].copy_(slot.staged[:count])
    bucket.replay()
    slot.answer[:count].copy_(bucket.answer[:count], non_blocking=True)


def _taken(slot: _Slot, count: int, done: Mark) -> torch.Tensor:
    try:
        done.synchronize()
        return slot.answer[:count].clone()
    finally:
        slot.free = True


def bucket_sizes(limit: int) -> list[int]:
    """Return the batch sizes worth a graph each: powers of two, and the limit itself.

    >>> bucket_sizes(16), bucket_sizes(6), bucket_sizes(1)
    ([1, 2, 4, 8, 16], [1, 2, 4, 6], [1])
    """
    powers = [2**exponent for exponent in range(limit.bit_length()) if 2**exponent < limit]
    return [*powers, limit]


def capture_buckets(
    forward: Forward, shape: Shape, device: torch.device, limit: int
) -> list[Bucket]:
    """Make a bucket for each size, largest last, until memory runs out; raises torch.OutOfMemoryError for size 1."""
    buckets: list[Bucket] = []
    for size in bucket_sizes(limit):
        try:
            given = torch.zeros((size, shape.side, shape.side, 3), dtype=torch.uint8, device=device)
            buckets.append((_graph if device.type == "cuda" else _plain)(forward, given))
        except torch.OutOfMemoryError:
            if not buckets:
                raise
            break
    return buckets


def _graph(forward: Forward, given: torch.Tensor) -> Bucket:
    side_stream = torch.cuda.Stream(given.device)  # type: ignore[no-untyped-call]
    side_stream.wait_stream(torch.cuda.current_stream(given.device))
    with torch.cuda.stream(
        side_stream
    ):  # libraries choose their kernels before, not during the capture
        for _ in range(3):
            forward(given)
    side_stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(given.device), torch.cuda.graph(graph, stream=side_stream):
        answer = forward(given)
    return Bucket(len(given), given, answer, graph.replay)


def _plain(forward: Forward, given: torch.Tensor) -> Bucket:
    """Stand in for a graph where there are none: how the way of a batch is tested on a CPU."""
    answer = forward(given)

    def replay() -> None:
        with torch.inference_mode():
            answer.copy_(forward(given))

    return Bucket(len(given), given, answer, replay)
