"""Two daemons for different cameras on one PostgreSQL do not affect each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.daemon_cases import Daemon, Site, drop, jpeg, running, site

from fundusd.domain.clinical_terms import Grade

if TYPE_CHECKING:
    from pathlib import Path

EACH = 6  # captures before the kill, and as many after


@dataclass(frozen=True)
class Room(Site):
    """A clinic whose camera has another name."""

    camera: str = ""

    def mine(self) -> list[dict[str, object]]:
        return [dict(row) for row in self.rows() if row["camera_id"] == self.camera]


def room(folder: Path, url: str, camera: str) -> Room:
    place = site(folder / camera, url)
    place.path.write_text(place.path.read_text().replace('id = "room1"', f'id = "{camera}"'))
    return Room(place.folder, place.path, camera)


def put(place: Room, numbers: range, mark: bytes) -> None:
    for number in numbers:
        drop(
            place,
            f"P{number}/{number}_OD.jpg",
            jpeg(tuple(Grade)[number % 5]) + mark + bytes([number]),
        )


def await_graded(daemon: Daemon, place: Room, count: int) -> None:
    daemon.await_that(lambda: sum(row["outcome"] == "graded" for row in place.mine()) == count)


def test_two_daemons_with_different_cameras_share_one_postgresql(
    tmp_path: Path, postgres_url: str
) -> None:
    left, right = room(tmp_path, postgres_url, "left"), room(tmp_path, postgres_url, "right")
    text = right.path.read_text().replace(
        'source = "phantom"', 'source = "phantom"\nprompts = "severity-short"'
    )
    right.path.write_text(text)
    shared = jpeg(Grade.PDR) + b"shown by both"
    with running(left) as first, running(right) as second:
        first.await_event("service.ready")
        second.await_event("service.ready")
        put(left, range(EACH), b"left")
        put(right, range(EACH), b"right")
        for place in (left, right):
            drop(place, "both.jpg", shared)
        first.await_event("capture.graded")
        first.process.kill()
        first.process.wait()
        put(left, range(EACH, 2 * EACH), b"left")
        put(right, range(EACH, 2 * EACH), b"right")
        await_graded(second, right, 2 * EACH + 1)
        with running(left) as again:
            await_graded(again, left, 2 * EACH + 1)
            assert again.stop() == 0
        assert second.process.poll() is None
        assert second.stop() == 0
    rows = left.rows()
    assert Counter((row["camera_id"], row["prompt_set"]) for row in rows) == {
        ("left", "icdr-descriptive"): 2 * EACH + 1,
        ("right", "severity-short"): 2 * EACH + 1,
    }
    assert {row["attempts"] for row in right.mine()} == {1}, "a neighbour's death costs nothing"
    assert left.verdict().broken_seq is None


def test_a_second_daemon_for_a_camera_stands_by_and_takes_over(
    tmp_path: Path, postgres_url: str
) -> None:
    place = room(tmp_path, postgres_url, "left")
    with running(place) as first:
        first.await_event("service.ready")
        with running(place) as second:
            away = second.await_event("ledger.away")
            assert "Another fundusd" in away["error"]
            put(place, range(1), b"first")
            await_graded(first, place, 1)
            first.process.kill()
            first.process.wait()
            second.await_event("service.ready")
            put(place, range(1, 2), b"second")
            await_graded(second, place, 2)
            assert second.stop() == 0
