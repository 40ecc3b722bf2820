"""The model of a running daemon changes, breaks or is lost: it grades nothing any more."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.daemon_cases import Daemon, Site, drop, jpeg, running, site

from fundusd.app.factory import plan_model
from fundusd.app.open_ledger import opened_ledger
from fundusd.app.settings_file import load
from fundusd.domain.clinical_terms import Grade
from fundusd.files import package_data
from fundusd.model.prepared_parts import PreparedParts

if TYPE_CHECKING:
    from collections.abc import Callable

# patches that a test applies to the code in the daemon's process
SILENT = """
import numpy
from fundusd.model.torch_backend import TorchBackend
embed = TorchBackend.embed
TorchBackend.embed = lambda self, pixels: embed(self, pixels) * numpy.float32("nan")
"""
LOST = """
from fundusd.model.torch_backend import TorchBackend
def lost(self, pixels):
    raise RuntimeError("CUDA error: an illegal memory access was encountered")
TorchBackend._embed = lost
"""
HELD = """
import os
from pathlib import Path
from fundusd.model.torch_backend import TorchBackend
embed = TorchBackend.embed
def held(self, pixels):
    Path(os.environ["HELD_UNTIL"]).read_bytes()  # a pipe: blocks until its writer closes it
    return embed(self, pixels)
TorchBackend.embed = held
"""


@pytest.fixture
def place(tmp_path: Path, sqlite_url: str) -> Site:
    """Lay out a clinic with separate copies of the model and of the prepared model."""
    made = site(tmp_path, sqlite_url, "debug")
    shutil.copytree(package_data.folder("model/phantom"), tmp_path / "model")
    text = made.path.read_text().replace(
        'source = "phantom"', f'source = "{tmp_path}/model"\ndevice = "cpu"'
    )
    made.path.write_text(text)
    plan_model(load(made.path)).prepare()  # once for all tests of this process
    lay_out_prepared(made)
    return made


def lay_out_prepared(place: Site) -> None:
    """Copy the prepared model into the clinic: preparing it again takes some twenty seconds."""
    made = Path(os.environ["XDG_CACHE_HOME"]) / "fundusd" / "prepared"
    shutil.copytree(made, place.folder / "cache/fundusd/prepared", dirs_exist_ok=True)


def cache(place: Site) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(place.folder / "cache")}


def mapped(place: Site) -> Path:
    """Return the file that the daemon has mapped."""
    planned = plan_model(load(place.path))
    (path,) = (place.folder / "cache").rglob(
        f"{PreparedParts(planned.checkpoint).folder.name}/torch-*/tower.safetensors"
    )
    return path


def put(place: Site, *numbers: int) -> None:
    for number in numbers:
        drop(place, f"P{number}_OD.jpg", jpeg(tuple(Grade)[number % 5], seed=number))


def graded(place: Site, count: int) -> Callable[[], bool]:
    return lambda: Counter(row["outcome"] for row in place.rows()) == {"graded": count}


def ended(daemon: Daemon, status: int) -> dict[str, Any]:
    """Wait until the daemon has ended by itself; return its last log line."""
    assert daemon.process.wait(120) == status, daemon.raw
    return daemon.await_event("service.failed")


def require_untouched(place: Site) -> None:
    """Require that the captures still wait and have lost no attempt."""
    waiting = [row for row in place.rows() if row["outcome"] is None]
    assert {(row["state"], row["attempts"]) for row in waiting} <= {("queued", 0)}


def require_recovered(place: Site, count: int) -> None:
    with running(place, **cache(place)) as daemon:
        daemon.await_event("service.ready")
        daemon.await_that(graded(place, count))
        assert daemon.stop() == 0
    assert {row["attempts"] for row in place.rows()} == {1}
    assert place.verdict().broken_seq is None


def overwrite(path: Path) -> None:
    """Overwrite the middle of a file with values that are not numbers."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 4096)


def test_a_mapped_part_that_is_cut_short_ends_the_service_before_it_is_read_again(
    place: Site,
) -> None:
    with running(place, **cache(place)) as daemon:
        daemon.await_event("service.ready")
        os.truncate(mapped(place), 4096)
        assert "tower.safetensors has other content" in ended(daemon, 69)["error"]


def test_no_capture_is_graded_by_an_overwritten_mapped_part_and_the_next_start_makes_it_again(
    place: Site,
) -> None:
    with running(place, **cache(place)) as daemon:
        daemon.await_event("service.ready")
        overwrite(mapped(place))
        put(place, 1, 2, 3)
        assert "tower.safetensors has other content" in ended(daemon, 69)["error"]
    assert not [row for row in place.rows() if row["outcome"] is not None]
    require_untouched(place)
    require_recovered(place, 3)


def test_a_checkpoint_may_be_touched_and_its_prepared_model_removed_but_other_weights_end_it(
    place: Site,
) -> None:
    weights = place.folder / "model" / "model.safetensors"
    right = weights.read_bytes()
    with running(place, **cache(place)) as daemon:
        daemon.await_event("service.ready")
        shutil.rmtree(place.folder / "cache/fundusd/prepared")
        weights.touch()
        daemon.await_event("model.touched", 2)
        put(place, 1)
        daemon.await_that(graded(place, 1))
        overwrite(weights)
        line = ended(daemon, 69)
        assert "model.safetensors has other content" in line["error"]
        assert "Put the old files back" in line["hint"]
    put(place, 2)
    with running(place, **cache(place)) as daemon:  # as systemd would
        assert "Wrong digest" in ended(daemon, 69)["error"]
    require_untouched(place)
    weights.write_bytes(right)
    lay_out_prepared(place)
    require_recovered(place, 2)


def test_a_model_that_answers_nothing_is_refused_until_it_has_answered_whole_phantoms(
    place: Site,
) -> None:
    put(place, 1, 2)
    with running(place, trouble=SILENT, **cache(place)) as daemon:
        assert "not finite" in ended(daemon, 69)["error"]
        assert daemon.await_event("model.canary")["level"] == "error"
    require_untouched(place)
    # this start classifies whole phantoms, as parts of them do not show the error
    with running(place, trouble=SILENT, **cache(place)) as daemon:
        assert "not finite" in ended(daemon, 69)["error"]
        assert not [line for line in daemon.lines if line["event"] == "service.ready"]
    with opened_ledger(load(place.path)) as ledger:
        assert not ledger.status()["canary"]["passed"]
    require_untouched(place)
    require_recovered(place, 2)
    with opened_ledger(load(place.path)) as ledger:
        assert ledger.status()["canary"]["passed"]


def test_a_device_that_is_lost_ends_with_75_and_the_next_start_goes_on(place: Site) -> None:
    put(place, 1, 2)
    with running(place, trouble=LOST, **cache(place)) as daemon:
        assert "stopped working" in ended(daemon, 75)["error"]
    require_untouched(place)
    require_recovered(place, 2)


def test_a_stop_during_a_forward_writes_that_capture_down_and_gives_the_others_back(
    place: Site,
) -> None:
    pipe = place.folder / "pipe"
    os.mkfifo(pipe)
    put(place, 1, 2, 3)
    with running(place, trouble=HELD, HELD_UNTIL=str(pipe), **cache(place)) as daemon:
        with pipe.open("wb"):  # opens once the model has begun to classify
            daemon.process.send_signal(signal.SIGTERM)
            daemon.await_event("service.stopping")
        assert daemon.process.wait(90) == 0, "as long as the unit's TimeoutStopSec"
        daemon.await_event("service.stopped")
    rows = place.rows()
    assert [row["attempts"] for row in rows if row["outcome"] == "graded"] == [1]
    require_untouched(place)
    require_recovered(place, 3)
