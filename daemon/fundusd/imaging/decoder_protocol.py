"""What goes over the socket between the daemon and a decoder process: JSON and raw bytes, no pickle."""

from __future__ import annotations

import socket
from datetime import datetime
from time import monotonic
from typing import Any

import numpy as np
import orjson

from fundusd.clinical.quality_thresholds import Thresholds
from fundusd.domain.clinical_terms import Eye, EyeSource, Outcome, Reason
from fundusd.domain.decoding import Content, Decoded, MediaType

READY, UNCONFINED = (
    b"ready",
    b"unconfined",
)  # a decoder process's first word: with a filter of system calls, without

_LONGEST_HEADER = 64 * 1024
_LENGTH_BYTES = 8


class Garbled(Exception):  # noqa: N818  says what is the case
    """A decoder process answered what no honest one would."""


class Channel:
    """One end of the socket: messages, each behind its length, and a moment until which they must have passed."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._until: float | None = None

    def allow(self, seconds: float) -> None:
        """Let all that is sent and received from now on take this long; then TimeoutError is raised."""
        self._until = monotonic() + seconds

    def send(self, message: bytes | memoryview) -> None:
        """Send one message; raises OSError where the peer is gone."""
        for part in (len(message).to_bytes(_LENGTH_BYTES), message):
            self._hurry()
            self._end.sendall(part)

    def receive(self, longest: int) -> bytes:
        """Receive one message; raises EOFError or OSError where the peer is gone, Garbled where it is too long."""
        length = int.from_bytes(self._exactly(_LENGTH_BYTES))
        if length > longest:
            raise Garbled
        return self._exactly(length)

    def close(self) -> None:
        """Let go of the socket; the peer gets an EOFError."""
        self._end.close()

    def _exactly(self, length: int) -> bytes:
        parts = []
        while length:
            self._hurry()
            # without a deadline all of it comes in one go, into the very object that is returned
            part = self._end.recv(length, socket.MSG_WAITALL)
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _hurry(self) -> None:
        if self._until is None:
            return
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError
        self._end.settimeout(left)


def send_request(channel: Channel, data: bytes, thresholds: Thresholds) -> None:
    """Send a capture's bytes behind the thresholds of its camera; raises OSError where the peer is gone."""
    channel.send(orjson.dumps(thresholds))
    channel.send(data)


def receive_request(channel: Channel, most_bytes: int) -> tuple[bytes, Thresholds]:
    """Receive what `send_request` sent; raises Garbled, or OSError and EOFError where the peer is gone."""
    thresholds = Thresholds(**orjson.loads(channel.receive(_LONGEST_HEADER)))
    return channel.receive(most_bytes), thresholds


def send_decoded(channel: Channel, decoded: Decoded) -> None:
    """Send a header and, where the header says so, the pixels."""
    header = {
        "content": decoded.content and _describe(decoded.content),
        "reason": decoded.reason,
        "decode_ms": decoded.decode_ms,
        "side": None if decoded.pixels is None else len(decoded.pixels),
    }
    channel.send(orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY))
    if decoded.pixels is not None:
        channel.send(np.ascontiguousarray(decoded.pixels).reshape(-1).data)


def receive_decoded(channel: Channel, side: int, *, shows_ungradable: bool = False) -> Decoded:
    """Receive what `send_decoded` sent; raises Garbled, or OSError and EOFError where the peer is gone."""
    try:
        header = orjson.loads(channel.receive(_LONGEST_HEADER))
        content = header["content"] and _recall(header["content"])
        reason = header["reason"] and Reason(header["reason"])
        decode_ms = float(header["decode_ms"])
    except (ValueError, TypeError, KeyError) as error:
        raise Garbled from error
    has_pixels = header["side"] == side
    may_have = reason is None or (shows_ungradable and reason.outcome is Outcome.UNGRADABLE)
    if (has_pixels and not may_have) or (reason is None and not (has_pixels and content)):
        raise Garbled
    if not has_pixels:
        return Decoded(content, reason, None, decode_ms)
    raw = channel.receive(side * side * 3)
    if len(raw) != side * side * 3:
        raise Garbled
    return Decoded(content, reason, np.frombuffer(raw, np.uint8).reshape(side, side, 3), decode_ms)


def _describe(content: Content) -> dict[str, Any]:
    return {
        "media_type": content.media_type,
        "width": content.width,
        "height": content.height,
        "eye": content.eye,
        "eye_source": content.eye_source,
        "patient_id": content.patient_id,
        "issuer": content.issuer,
        "study_uid": content.study_uid,
        "sop_uid": content.sop_uid,
        "acquired_at": content.acquired_at and content.acquired_at.isoformat(),
        "warnings": content.warnings,
        "measures": dict(content.measures),
    }


def _recall(fields: dict[str, Any]) -> Content:
    acquired_at = fields["acquired_at"]
    return Content(
        **{
            **fields,
            "media_type": MediaType(fields["media_type"]),
            "eye": Eye(fields["eye"]),
            "eye_source": EyeSource(fields["eye_source"]),
            "acquired_at": acquired_at and datetime.fromisoformat(acquired_at),
            "warnings": tuple(fields["warnings"]),
        }
    )
