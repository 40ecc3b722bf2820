"""Read, verify and decode the bytes of one claimed job."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from fundusd.clinical.quality_thresholds import DEFAULTS
from fundusd.domain.clinical_terms import FILE_REASONS, Reason
from fundusd.domain.decoding import Decoded
from fundusd.domain.errors import CaptureError, FundusdError
from fundusd.files.filesystem import place_name, place_of
from fundusd.files.safe_read import opened_root, read_capture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fundusd.clinical.quality_thresholds import Thresholds
    from fundusd.ledger import Claim, Ledger
    from fundusd.worker.rules import WorkerRules


class Decoder(Protocol):
    """The part of the decoder pool that the worker uses."""

    def decode(self, data: bytes, thresholds: Thresholds) -> Decoded:
        """Decode untrusted bytes in another process.

        Bytes that cannot be decoded lead to a result that says why, never to an exception.
        """
        ...


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """A claimed job with its decoded capture and the time taken to read the file."""

    claim: Claim
    decoded: Decoded
    read_ms: float
    inbox_is_offline: bool = False  # which is why the file could not be read


def milliseconds_since(began: float) -> float:
    """Return the milliseconds since `began`, a value of `time.perf_counter`."""
    return (time.perf_counter() - began) * 1000


class Preparation:
    """Prepares jobs, and may be used by any thread.

    A bad capture never affects another job.
    """

    def __init__(
        self, ledger: Ledger, decoder: Decoder, roots: Mapping[str, Path], rules: WorkerRules
    ) -> None:
        self._ledger = ledger
        self._decoder = decoder
        self._roots = roots
        self._rules = rules
        self._log = structlog.get_logger(service="worker")

    def prepare(self, claim: Claim) -> PreparedJob:
        """Read, verify and decode the bytes of one job.

        Raises FundusdError if no decoder process can be started or the database is unreachable, but
        never because of the capture.
        """
        began = time.perf_counter()
        looked_in: dict[str, str | None] = {}
        try:
            data = self._read(claim, looked_in)
            read_ms = milliseconds_since(began)
            thresholds = self._rules.thresholds.get(claim.camera_id, DEFAULTS)
            decoded = self._decoder.decode(data, thresholds)
        except CaptureError as error:
            failed = Decoded(None, error.reason, None, 0.0)
            is_offline = error.reason in FILE_REASONS and self._is_offline(looked_in)
            return PreparedJob(claim, failed, milliseconds_since(began), is_offline)
        except FundusdError:
            raise
        except Exception as error:  # noqa: BLE001  the boundary of one capture
            self._log.error("capture.broke", digest=claim.digest[:12], exc_info=error)
            failed = Decoded(None, Reason.DECODE_ERROR, None, 0.0)
            return PreparedJob(claim, failed, milliseconds_since(began))
        return PreparedJob(claim, decoded, read_ms)

    def _read(self, claim: Claim, looked_in: dict[str, str | None]) -> bytes:
        """Return the bytes that were hashed at admission, read from any path that still has them.

        `looked_in` is filled with the device and inode of each inbox in which they were looked for,
        or None if it could not be opened, keyed by camera. Raises CaptureError if no path has them.
        """
        problem = Reason.FILE_MISSING
        for place in claim.places:
            root = self._roots.get(place.camera_id)
            if root is None:
                continue  # the camera has been removed from the settings
            looked_in[place.camera_id] = None
            try:
                with opened_root(root) as descriptor:
                    looked_in[place.camera_id] = place_name(os.fstat(descriptor))
                    data = read_capture(descriptor, place.path, self._rules.max_bytes)
            except CaptureError as error:
                problem = error.reason
                continue
            if hashlib.sha256(data).hexdigest() == claim.digest:
                return data
            problem = Reason.FILE_CHANGED
        raise CaptureError(problem)

    def _is_offline(self, looked_in: Mapping[str, str | None]) -> bool:
        """Return whether one of the inboxes in which a file was looked for may be offline.

        If so, the file may still exist. The watcher may not have noticed yet, so an inbox counts as
        online only if it was, and still is, the directory in which the watcher saw files.
        """
        for camera_id, place in looked_in.items():
            has_changed = place_of(self._roots[camera_id]) != place
            if has_changed or self._ledger.is_away(camera_id, place):
                return True
        return False
