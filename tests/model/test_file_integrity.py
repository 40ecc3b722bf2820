"""A running service ignores files that are only touched, and ends if one is changed or gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fundusd.domain.errors import ModelError
from fundusd.model.checkpoint import Checkpoint, hash_files
from fundusd.model.file_integrity import WatchedFiles, stat_signatures
from fundusd.model.prepared_parts import Part


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in (
        "checkpoint/config.json",
        "checkpoint/model.safetensors",
        "part/tower.safetensors",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 100_000)
    return tmp_path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watched(place: Path, clock: Clock) -> WatchedFiles:
    folder = place / "checkpoint"
    checkpoint = Checkpoint(
        folder, "test", "0" * 40, "", hash_files(folder, ["config.json", "model.safetensors"])
    )
    part = Part(place / "part", hash_files(place / "part", ["tower.safetensors"]), {})
    return WatchedFiles(checkpoint, stat_signatures(folder, checkpoint.files), [part], clock)


def look(watched: WatchedFiles, clock: Clock, beat: Callable[[], None] = lambda: None) -> list[str]:
    clock.now += 60
    return watched.require_unchanged(beat)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"other")


@pytest.mark.parametrize(
    "name", ["checkpoint/model.safetensors", "checkpoint/config.json", "part/tower.safetensors"]
)
def test_a_file_that_is_only_touched_is_hashed_once_and_named(
    place: Path, watched: WatchedFiles, clock: Clock, name: str
) -> None:
    beats: list[int] = []
    assert look(watched, clock, lambda: beats.append(1)) == []
    assert beats == []
    os.utime(place / name)
    assert look(watched, clock, lambda: beats.append(1)) == [Path(name).name]
    assert len(beats) > 1, "the heartbeat must not starve"
    assert look(watched, clock) == []


@pytest.mark.parametrize(
    "name", ["checkpoint/model.safetensors", "checkpoint/config.json", "part/tower.safetensors"]
)
def test_a_file_that_is_overwritten_in_place_ends_it_even_with_its_size_and_times_as_before(
    place: Path, watched: WatchedFiles, clock: Clock, name: str
) -> None:
    times = (place / name).stat()
    overwrite(place / name)
    os.utime(place / name, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(
        ModelError, match=rf"changed while .* {Path(name).name} has other content"
    ) as caught:
        look(watched, clock)
    assert caught.value.exit_code == 69
    assert caught.value.hint


def test_a_mapped_file_is_looked_at_each_time(place: Path, watched: WatchedFiles) -> None:
    overwrite(place / "part/tower.safetensors")
    with pytest.raises(ModelError, match="has other content"):
        watched.require_unchanged(lambda: None)


def test_a_mapped_file_that_is_cut_short_ends_it(place: Path, watched: WatchedFiles) -> None:
    os.truncate(place / "part/tower.safetensors", 1000)
    with pytest.raises(ModelError, match="has other content"):
        watched.require_unchanged(lambda: None)


def test_a_prepared_part_may_be_replaced_or_removed_while_its_bytes_are_mapped(
    place: Path, watched: WatchedFiles, clock: Clock
) -> None:
    (place / "part").rename(place / "old")
    (place / "part").mkdir()
    (place / "part/tower.safetensors").write_bytes(b"made anew")
    assert look(watched, clock) in ([], ["tower.safetensors"])
    shutil.rmtree(place / "old")
    assert look(watched, clock) == ["tower.safetensors"]
    assert look(watched, clock) == []


def test_a_checkpoint_that_is_gone_or_replaced_ends_it(
    place: Path, watched: WatchedFiles, clock: Clock
) -> None:
    weights = place / "checkpoint/model.safetensors"
    copy = place / "copy"
    shutil.copy(weights, copy)
    copy.replace(weights)
    assert look(watched, clock) == ["model.safetensors"], (
        "the same bytes in another file are the same model"
    )
    (place / "checkpoint/config.json").unlink()
    with pytest.raises(ModelError, match=r"config.json is gone"):
        look(watched, clock)


def test_a_share_that_takes_the_whole_checkpoint_away_ends_nothing(
    place: Path, watched: WatchedFiles, clock: Clock
) -> None:
    (place / "checkpoint").rename(place / "elsewhere")
    assert look(watched, clock) == ["config.json", "model.safetensors"]
    (place / "elsewhere").rename(place / "checkpoint")
    assert look(watched, clock) == []


def test_what_changed_between_the_hash_and_the_load_is_seen_at_the_first_look(
    place: Path, clock: Clock
) -> None:
    folder = place / "checkpoint"
    checkpoint = Checkpoint(
        folder, "test", "0" * 40, "", hash_files(folder, ["config.json", "model.safetensors"])
    )
    before = stat_signatures(folder, checkpoint.files)
    overwrite(folder / "model.safetensors")
    watched = WatchedFiles(checkpoint, before, [], clock)
    with pytest.raises(ModelError, match="has other content"):
        look(watched, clock)


def test_what_is_written_while_it_is_hashed_is_seen_at_the_next_look(
    place: Path, watched: WatchedFiles, clock: Clock
) -> None:
    weights = place / "checkpoint/model.safetensors"
    os.utime(weights)
    size = weights.stat().st_size
    blocks: list[int] = []

    def late() -> None:
        if not blocks:
            with weights.open("r+b") as file:  # in the part that is hashed already
                file.write(b"other")
        blocks.append(size)

    assert look(watched, clock, late) == ["model.safetensors"]
    with pytest.raises(ModelError, match="has other content"):
        look(watched, clock)
