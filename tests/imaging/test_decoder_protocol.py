from __future__ import annotations

import socket
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest

from fundusd.clinical.quality_thresholds import Thresholds
from fundusd.domain.clinical_terms import Eye, EyeSource, Reason
from fundusd.domain.decoding import Content, Decoded, MediaType
from fundusd.imaging.decoder_protocol import (
    Channel,
    ProtocolError,
    receive_decoded,
    receive_request,
    send_decoded,
    send_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Channels = tuple[Channel, Channel]


@pytest.fixture
def channels() -> Iterator[Channels]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), Channel(theirs)


def test_everything_known_of_a_capture_survives_the_wire(channels: Channels) -> None:
    content = Content(
        *(
            MediaType.DICOM,
            3,
            2,
            Eye.LEFT,
            EyeSource.LATERALITY,
            "PHANTOM-Ä",
            "PHANTOMS",
            "1.2",
            "1.3",
        ),
        acquired_at=datetime(2026, 1, 5, 10, 15, tzinfo=UTC),
        acquired_day=date(2026, 1, 5),
        warnings=("turned",),
        measures={"red": 120.5},
        field="macula",
        accession="ACC-17",
    )
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    ours, theirs = channels
    send_decoded(theirs, Decoded(content, None, pixels, 1.5))
    decoded = receive_decoded(ours, 2)
    assert (decoded.content, decoded.decode_ms) == (content, 1.5)
    assert decoded.pixels is not None
    assert np.array_equal(decoded.pixels, pixels)
    naive = replace(content, acquired_at=datetime(2026, 1, 5, 10, 15))  # noqa: DTZ001  as many cameras have it
    send_decoded(theirs, Decoded(naive, Reason.SMALL, None, 1.5))
    assert receive_decoded(ours, 2).content == naive


def test_a_request_carries_the_thresholds_of_its_camera(channels: Channels) -> None:
    ours, theirs = channels
    for thresholds in (Thresholds(), Thresholds(min_side_pixels=800, min_field=0.7)):
        send_request(ours, b"bytes", thresholds)
        assert receive_request(theirs, 5) == (b"bytes", thresholds)
    send_request(ours, b"too long", Thresholds())
    with pytest.raises(ProtocolError):
        receive_request(theirs, 5)


LIES: list[bytes] = [
    b"no json",
    b"[]",
    b"{}",
    orjson.dumps({"content": None, "reason": "no such reason", "decode_ms": 1, "side": None}),
    orjson.dumps({"content": None, "reason": None, "decode_ms": 1, "side": 2}),
    orjson.dumps({"content": None, "reason": None, "decode_ms": 1, "side": None}),
    orjson.dumps({"content": None, "reason": "small", "decode_ms": 1, "side": 2}),
    orjson.dumps(
        {"content": {"media_type": "text/html"}, "reason": "small", "decode_ms": 1, "side": None}
    ),
]


@pytest.mark.parametrize("lie", LIES)
def test_answers_that_no_honest_process_gives_are_garbled(channels: Channels, lie: bytes) -> None:
    ours, theirs = channels
    theirs.send(lie)
    with pytest.raises(ProtocolError):
        receive_decoded(ours, 2)


def test_too_few_pixels_are_garbled(channels: Channels) -> None:
    ours, theirs = channels
    content = Content(MediaType.PNG)
    send_decoded(theirs, Decoded(content, None, np.zeros((2, 2, 3), np.uint8), 1))
    header = ours.receive(10_000)
    ours.receive(10_000)
    theirs.send(header)
    theirs.send(b"short")
    with pytest.raises(ProtocolError):
        receive_decoded(ours, 2)


def test_a_message_larger_than_any_buffer_arrives_whole(channels: Channels) -> None:
    ours, theirs = channels
    ours.set_timeout(20)
    message = np.random.default_rng(0).bytes(3_000_000)
    sender = threading.Thread(target=theirs.send, args=(message,))
    sender.start()
    assert ours.receive(3_000_000) == message
    sender.join()
    theirs.send(b"")
    assert ours.receive(0) == b""


def test_pixels_of_what_has_no_grade_come_only_to_whoever_shows_ungradable_retinas(
    channels: Channels,
) -> None:
    ours, theirs = channels
    pixels = np.zeros((2, 2, 3), np.uint8)
    for reason, shows in (
        (Reason.TOO_DARK, False),
        (Reason.NOT_RETINA, True),
        (Reason.TRUNCATED, True),
    ):
        send_decoded(theirs, Decoded(Content(MediaType.JPEG), reason, pixels, 1.5))
        with pytest.raises(ProtocolError):
            receive_decoded(ours, 2, shows_ungradable=shows)
        ours.receive(12)
    send_decoded(theirs, Decoded(Content(MediaType.JPEG), Reason.TOO_DARK, pixels, 1.5))
    assert receive_decoded(ours, 2, shows_ungradable=True).pixels is not None
    send_decoded(theirs, Decoded(Content(MediaType.JPEG), Reason.NOT_RETINA, None, 1.5))
    assert receive_decoded(ours, 2, shows_ungradable=True).reason is Reason.NOT_RETINA


def test_a_message_longer_than_allowed_is_garbled(channels: Channels) -> None:
    ours, theirs = channels
    theirs.send(b"eleven long")
    with pytest.raises(ProtocolError):
        ours.receive(10)


def test_a_peer_that_goes_away_in_the_middle_is_an_end_of_file() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall((100).to_bytes(8) + b"half")
        with pytest.raises(EOFError):
            Channel(ours).receive(100)


def test_time_is_up_for_all_messages_together(channels: Channels) -> None:
    ours, theirs = channels
    ours.set_timeout(0.05)
    with pytest.raises(TimeoutError):
        ours.send(bytes(10_000_000))  # nobody reads
    theirs.send(b"late")
    with pytest.raises(TimeoutError):
        ours.receive(10)
    ours.set_timeout(20)
    theirs.send(b"in time")
    assert ours.receive(10) == b"late"
