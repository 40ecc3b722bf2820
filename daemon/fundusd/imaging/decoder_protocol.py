"""The protocol between the daemon and a decoder process.

Messages are JSON or raw bytes, never pickled objects.
"""

from __future__ import annotations

import socket
from datetime import date, datetime
from time import monotonic
from typing import Any

import numpy as np
import orjson

from fundusd.clinical.quality_thresholds import Thresholds
from fundusd.domain.clinical_terms import Eye, EyeSource, Outcome, Reason
from fundusd.domain.decoding import Content, Decoded, MediaType

# A decoder process's first message, which says whether it runs with a system call filter
READY, UNCONFINED = b"ready", b"unconfined"

_MAX_HEADER = 64 * 1024
_LENGTH_BYTES = 8


class ProtocolError(Exception):
    """A message violates the protocol."""


class Channel:
    """One end of the socket, which carries length-prefixed messages and observes a deadline."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._deadline: float | None = None

    def set_timeout(self, seconds: float) -> None:
        """Set a single deadline for all further messages, `seconds` from now.

        After the deadline, this end raises TimeoutError.
        """
        self._deadline = monotonic() + seconds

    def send(self, message: bytes | memoryview) -> None:
        """Send one message.

        Raises OSError if the peer is gone.
        """
        for part in (len(message).to_bytes(_LENGTH_BYTES), message):
            self._apply_deadline()
            self._end.sendall(part)

    def receive(self, max_length: int) -> bytes:
        """Receive one message.

        Raises EOFError or OSError if the peer is gone, or ProtocolError if the message is too long.
        """
        length = int.from_bytes(self._receive_exactly(_LENGTH_BYTES))
        if length > max_length:
            raise ProtocolError
        return self._receive_exactly(length)

    def close(self) -> None:
        """Close the socket, which makes the peer's `receive` raise EOFError."""
        self._end.close()

    def _receive_exactly(self, length: int) -> bytes:
        parts = []
        while length:
            self._apply_deadline()
            # Without a deadline, the message arrives in one piece, which join returns uncopied
            part = self._end.recv(length, socket.MSG_WAITALL)
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _apply_deadline(self) -> None:
        if self._deadline is None:
            return
        remaining = self._deadline - monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._end.settimeout(remaining)


def send_request(channel: Channel, data: bytes, thresholds: Thresholds) -> None:
    """Send a camera's thresholds and a capture's bytes.

    Raises OSError if the peer is gone.
    """
    channel.send(orjson.dumps(thresholds))
    channel.send(data)


def receive_request(channel: Channel, max_bytes: int) -> tuple[bytes, Thresholds]:
    """Return the capture's bytes and the camera's thresholds that `send_request` sent.

    Raises ProtocolError if a message is too long, or OSError or EOFError if the peer is gone.
    """
    thresholds = Thresholds(**orjson.loads(channel.receive(_MAX_HEADER)))
    return channel.receive(max_bytes), thresholds


def send_decoded(channel: Channel, decoded: Decoded) -> None:
    """Send a header and then the pixels, if there are any.

    The header's `side` says whether pixels follow.
    """
    header: dict[str, Any] = {
        "content": decoded.content and _content_to_json(decoded.content),
        "reason": decoded.reason,
        "decode_ms": decoded.decode_ms,
        "side": None,
    }
    if decoded.pixels is not None:
        header["side"] = len(decoded.pixels)
    channel.send(orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY))
    if decoded.pixels is not None:
        channel.send(np.ascontiguousarray(decoded.pixels).reshape(-1).data)


def receive_decoded(channel: Channel, side: int, *, shows_ungradable: bool = False) -> Decoded:
    """Return the decoded capture that `send_decoded` sent.

    The answer is checked, as the sender handles untrusted bytes. Raises ProtocolError for an
    invalid answer, or OSError or EOFError if the peer is gone.
    """
    try:
        header = orjson.loads(channel.receive(_MAX_HEADER))
        content = header["content"] and _content_from_json(header["content"])
        reason = header["reason"] and Reason(header["reason"])
        decode_ms = float(header["decode_ms"])
    except (ValueError, TypeError, KeyError) as error:
        raise ProtocolError from error
    has_pixels = header["side"] == side
    may_have = reason is None or (shows_ungradable and reason.outcome is Outcome.UNGRADABLE)
    if (has_pixels and not may_have) or (reason is None and not (has_pixels and content)):
        raise ProtocolError
    if not has_pixels:
        return Decoded(content, reason, None, decode_ms)
    raw = channel.receive(side * side * 3)
    if len(raw) != side * side * 3:
        raise ProtocolError
    return Decoded(content, reason, np.frombuffer(raw, np.uint8).reshape(side, side, 3), decode_ms)


def _content_to_json(content: Content) -> dict[str, Any]:
    return {
        "media_type": content.media_type,
        "width": content.width,
        "height": content.height,
        "eye": content.eye,
        "eye_source": content.eye_source,
        "field": content.field,
        "patient_id": content.patient_id,
        "issuer": content.issuer,
        "accession": content.accession,
        "study_uid": content.study_uid,
        "sop_uid": content.sop_uid,
        "acquired_at": content.acquired_at and content.acquired_at.isoformat(),
        "acquired_day": content.acquired_day and content.acquired_day.isoformat(),
        "warnings": content.warnings,
        "measures": dict(content.measures),
    }


def _content_from_json(fields: dict[str, Any]) -> Content:
    acquired_at, acquired_day = fields["acquired_at"], fields["acquired_day"]
    return Content(
        **{
            **fields,
            "media_type": MediaType(fields["media_type"]),
            "eye": Eye(fields["eye"]),
            "eye_source": EyeSource(fields["eye_source"]),
            "acquired_at": acquired_at and datetime.fromisoformat(acquired_at),
            "acquired_day": acquired_day and date.fromisoformat(acquired_day),
            "warnings": tuple(fields["warnings"]),
        }
    )
