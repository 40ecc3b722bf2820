"""The benchmark with tiny amounts: it runs, adds up and prints clearly; no timing is asserted."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from importlib import util
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import structlog
from fundusd_bench import (
    backlog,
    captures,
    drift,
    growth,
    history,
    latency,
    ledger,
    machine,
    memory,
    model,
    places,
    random_checkpoint,
    report,
    run,
    sections,
    site,
    start,
    sweep,
)
from fundusd_bench.figures import Figure, Goal, of_rounds
from fundusd_bench.machine import Machine, Sample
from fundusd_bench.work import Options, Work
from PIL import Image

from fundusd import cli
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade
from fundusd.domain.decoding import Preprocessing
from fundusd.domain.errors import FundusdError
from fundusd.domain.files import Inbox
from fundusd.imaging import phantoms
from fundusd.imaging.decode import decode
from fundusd.imaging.limits import Limits
from fundusd.ledger import Ledger

HERE = Machine(
    "Some CPU", 2, ("avx512_bf16",), 24.0, (), "6.1", "3.11.7", {"torch": "2.13.0", "openvino": ""}
)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give all tests of this file one cache outside the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept))
    return places.cache()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    random_checkpoint.write(folder, tiny=True)
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with photographs of a wall and two retinas."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "a.jpg").write_bytes(phantoms.as_jpeg(phantoms.not_a_retina(1, 640, 480)))
    for grade in (Grade.NO_DR, Grade.PDR):
        (folder / f"{grade}.jpg").write_bytes(
            captures.encode(phantoms.render(grade, Eye.LEFT, 5, 640, 480))
        )
    return folder


@pytest.fixture
def work(tiny: Path, tmp_path: Path) -> Work:
    options = Options((), rounds=1, reference=True, backlog=2, latency=2, growth=6)
    return Work(options, tmp_path, tiny, HERE)


def silently(_: str) -> None:
    pass


def typed(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    structlog.reset_defaults()
    monkeypatch.setattr("sys.argv", ["fundusd", "bench", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def names_of(figures: list[Figure]) -> set[str]:
    return {figure.name for figure in figures}


# -- the command


def test_without_a_section_nothing_is_measured_and_the_sections_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert typed(monkeypatch) == 0
    output = capsys.readouterr().out
    assert "fundusd bench --end-to-end --reference" in output
    assert "3.5 GB" in output
    assert not list(tmp_path.iterdir())


def test_the_model_section_tells_machines_everything(
    tiny: Path,
    photographs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (
        "--model",
        "--reference",
        "--rounds",
        "1",
        "--checkpoint",
        tiny,
        "--captures",
        photographs,
        "--json",
    )
    assert typed(monkeypatch, *words) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["notice"] == SAFETY_WORDS
    assert random_checkpoint.NOTICE in output["model"]
    assert output["machine"]["cores"] >= 1
    figures = {figure["name"]: figure for figure in output["figures"]}
    assert figures["JPEG to scores, torch float32: times the reference"]["median"] > 0
    if machine.look().has_fast_bfloat16:
        narrow = figures["JPEG to scores, torch bfloat16: times the reference"]
        assert narrow["verdict"] in {"met", "not met"}
        assert narrow["goal"] == {"limit": 3.1, "at_least": True}
    else:
        assert "ten times as long in bfloat16" in output["left_out"][1]
    for prompts in ("icdr-descriptive", "severity-short"):
        moved = figures[f"score moved at most, torch bfloat16 against fp32, {prompts}"]
        assert (moved["note"], moved["rounds"]) == ("2 captures", 2)
        assert 0 < moved["median"] < 0.5
    assert figures["operations of a forward"]["median"] > 0


def test_mistakes_are_told_as_everywhere(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "--model", "--captures", "/no/such") == 2
    assert typed(monkeypatch, "--model", "--checkpoint", "/no/such") == 69
    (tmp_path / "mine.txt").touch()
    assert typed(monkeypatch, "--model", "--checkpoint", tiny, "--keep", tmp_path) == 2
    assert "is not empty" in capsys.readouterr().err


# -- the parts


def test_the_backlog_goes_through_worker_ledger_and_decoders(work: Work) -> None:
    assert names_of(backlog.measure(work, silently)) == {
        "throughput of the service",
        "throughput of bare forwards",
        "service over bare forwards",
    }
    assert (work.folder / "backlog" / "fundusd.db").is_file()
    assert "capture.graded" in (work.folder / "backlog" / "log").read_text()


def test_latency_is_told_as_median_and_p95_over_the_captures_that_count(work: Work) -> None:
    median, late, *parts = latency.measure(work, silently)
    assert [part.name for part in parts] == ["of which read", "of which decode", "of which record"]
    assert median.rounds == late.rounds == 2
    assert median.median <= late.median <= late.highest
    assert "not for patients" in median.note


def test_a_start_is_measured_beside_the_references(work: Work) -> None:
    figures = {figure.name: figure for figure in start.measure(work, silently)}
    assert figures["first row over the reference"].goal == Goal(0.5, at_least=False)
    assert 0 < figures["anonymous memory"].median < figures["resident memory"].median
    assert figures["resident memory over the reference"].unit == "%"


def test_growth_compares_the_memory_after_the_captures_with_that_before(work: Work) -> None:
    steps: list[str] = []
    grown, resident, _ = growth.measure(work, steps.append)
    assert grown.median < 100
    assert resident.median > 10
    assert any("captures" in step for step in steps)


def test_the_ledger_is_measured_with_a_short_and_with_a_long_history(tmp_path: Path) -> None:
    figures = {
        figure.name: figure
        for figure in ledger.measure(tmp_path, silently, batches=6, rows=(20, 100))
    }
    assert figures["admit and record"].goal == Goal(1000, at_least=True)
    assert figures["admit and record"].rounds == 6
    assert figures["admit and record"].median > figures["admit, claim and record"].median
    assert "the disk syncs a page in" in figures["admit and record"].note
    for step in ("admit", "claim", "status"):
        grown = figures[f"{step}: 100 captures over 20"]
        assert (grown.goal, grown.rounds) == (Goal(2, at_least=False), 2)
    assert figures["claim with 100 captures"].median > 0


def test_a_long_history_is_one_that_the_ledger_could_have_written(tmp_path: Path) -> None:
    made = ledger._with_history(tmp_path / "long.db", 100, 20)
    status = made.status()
    assert status["jobs"] == {"queued": 10, "running": 0, "succeeded": 90, "failed": 0}
    assert (status["results"]["graded"], status["captures"]) == (90, 100)
    rows = list(made.results())
    assert len({row["digest"] for row in rows}) == len({row["path"] for row in rows}) == 100
    assert [row["outcome"] for row in rows].count("graded") == 90
    with made.database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    sightings = made.remembered("bench")
    assert (sum(sightings.values()), len(sightings)) == (100, 10)
    claimed = [claim.digest for claim in made.claim(16)]
    assert len(claimed) == 10
    made.close()
    history.multiply(tmp_path / "long.db", 1)  # once as many: nothing changes


def test_a_sweep_of_a_large_inbox_is_measured_and_leaves_nothing(tmp_path: Path) -> None:
    swept, walked, over, grown = sweep.measure(tmp_path, 230, silently)
    assert swept.goal == Goal(5.0 * 230 / 1_000_000, at_least=False)
    assert (swept.rounds, walked.rounds, over.unit) == (3, 3, "x")
    assert grown.unit == "MB"
    assert not (tmp_path / "inbox").exists()


def test_a_sweep_that_misses_files_is_no_measurement(tmp_path: Path) -> None:
    inbox = Inbox("bench", tmp_path / "inbox")
    known = Ledger(f"sqlite:///{tmp_path / 'fundusd.db'}")
    known.create_if_empty()
    known.register_camera("bench")
    known.ignore("bench", dict(sweep._made(inbox.root, range(3))))
    assert sweep._sweep(inbox, known, 3)[0] >= 0
    with pytest.raises(FundusdError, match="saw 3 of 4 files"):
        sweep._sweep(inbox, known, 4)
    next(inbox.root.glob("*/*")).write_bytes(b"touched")
    with pytest.raises(FundusdError, match="was not touched"):
        sweep._sweep(inbox, known, 3)
    known.close()


def test_the_drift_takes_only_captures_that_can_be_graded(
    photographs: Path, tmp_path: Path
) -> None:
    assert len(drift.squares(photographs, silently)) == 2
    shutil.copy(photographs / "a.jpg", tmp_path)
    with pytest.raises(FundusdError, match="can be graded") as caught:
        drift.squares(tmp_path, silently)
    assert "--captures" in caught.value.hint


def test_a_flip_counts_only_where_the_two_highest_scores_were_apart() -> None:
    expected = np.array([[0.6, 0.4], [0.505, 0.495], [0.1, 0.9]])
    assert drift.flips(expected, expected[:, ::-1]) == 2


def test_what_is_installed_is_measured() -> None:
    assert model.is_served("torch")
    assert not model.is_served("no_such_backend")
    assert model.left_out(HERE) == []
    assert model.variants(HERE) == list(model.VARIANTS)


def test_a_format_that_the_processor_has_not_is_left_out_of_openvinos_rows() -> None:
    old = replace(HERE, flags=("avx2",))
    assert [str(variant) for variant in model.variants(old)] == [
        "torch float32",
        "torch bfloat16",
        "openvino float32",
    ]
    assert "OpenVINO would in any case" in model.left_out(old)[0]


def test_rows_of_a_library_that_is_not_installed_are_left_out_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model, "is_served", lambda backend: backend == "torch")
    assert {variant.backend for variant in model.variants(HERE)} == {"torch"}
    assert "pip install 'fundusd[openvino]'" in model.left_out(HERE)[0]


# -- what they are measured with


def test_large_captures_are_twelve_megapixels_distinct_and_made_once(cache: Path) -> None:
    first = captures.large(cache / "captures", 2)
    made = [path.stat().st_mtime_ns for path in first]
    assert [path.stat().st_mtime_ns for path in captures.large(cache / "captures", 2)] == made
    assert len({path.read_bytes() for path in first}) == 2
    for path in first:
        assert 1_000_000 < path.stat().st_size < 2_500_000
        with Image.open(path) as picture:
            assert picture.size == (4096, 3072)


def test_small_captures_are_distinct_and_gradable() -> None:
    pictures = list(captures.small(7))
    assert len(set(pictures)) == 7
    decoded = decode(pictures[6], Preprocessing.PAD_SQUARE, 448, Limits())
    assert decoded.reason is None


def test_the_checkpoint_in_the_cache_is_taken_as_it_lies_there(tiny: Path, cache: Path) -> None:
    assert not places.is_made(places.random_checkpoint())
    shutil.copytree(tiny, places.random_checkpoint())
    checkpoint = run._checkpoint(None, report.console(stderr=True))
    assert checkpoint.folder == places.random_checkpoint()
    assert random_checkpoint.NOTICE in checkpoint.label
    shutil.rmtree(checkpoint.folder)


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(FundusdError, match="GB free") as caught:
        places.require_room(tmp_path, 1e9)
    assert "XDG_CACHE_HOME" in caught.value.hint


# -- the machine


def test_the_machine_is_described() -> None:
    here = machine.look()
    assert here.cpu
    assert here.cores >= 1
    assert here.memory_gb > 0
    assert here.packages["torch"]


def test_facts_are_read_from_what_the_kernel_tells(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name\t: A CPU\nflags\t\t: fpu avx2 amx_bf16\n")
    (tmp_path / "meminfo").write_text("MemTotal:       2097152 kB\n")
    card = tmp_path / "driver" / "nvidia" / "gpus" / "0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t A GPU\nIRQ: 1\n")
    machine_facts = machine.look(tmp_path)
    assert (machine_facts.cpu, machine_facts.memory_gb, machine_facts.gpus) == (
        "A CPU",
        2.0,
        ("A GPU",),
    )
    assert machine_facts.flags == ("amx_bf16", "avx2")
    assert machine_facts.has_fast_bfloat16
    assert not replace(machine_facts, flags=("avx2",)).has_fast_bfloat16


def test_a_busy_machine_is_told_of() -> None:
    assert not machine.warnings(0.5, 0.15)
    before, during = machine.warnings(2.0, 0.4)
    assert "load average 2.00" in before
    assert "40% of the CPUs" in during


def test_only_what_others_spent_counts_as_others() -> None:
    before = machine.sample()
    assert before.cpus >= 1
    assert (
        machine.others_share(before, replace(before, at=before.at + 1, spent=before.spent + 1)) > 0
    )
    assert machine.others_share(Sample(0, 0, 0, 1), Sample(1, 0.5, 0.6, 1)) == 0


def test_memory_is_read_from_the_kernel() -> None:
    own = memory.of_process(os.getpid())
    assert own.resident_mb > own.anonymous_mb > 1


# -- the report


def a_report() -> report.Report:
    figures = [
        of_rounds(
            "model", "ratio [x]", "x", [3.0, 3.2, 3.4], goal=Goal(3.1, at_least=True), note="a note"
        ),
        of_rounds("latency", "slow", "ms", [90.0], goal=Goal(70, at_least=False), note="a note"),
        of_rounds("growth", "plain", "MB", [1234.5]),
    ]
    return report.Report(
        "a model (not for patients)",
        HERE,
        figures,
        0.1,
        0.2,
        90,
        ["busy"],
        ["[openvino] is missing"],
    )


def test_people_see_figures_goals_machine_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    report.show(a_report(), report.console())
    output = capsys.readouterr().out
    words = " ".join(output.split())
    assert f"Model: a model (not for patients). {SAFETY_WORDS}" in words
    assert "Goals: 1 of 2 met" in output
    assert "ratio [x]" in output
    assert "3.2 x" in output
    assert "3 - 3.4" in output
    assert "not met" in output
    assert "1,234 MB" in output
    assert "openvino not installed" in output
    assert "model, latency: a note." in output
    assert "WARNING: busy" in output
    assert "[openvino] is missing" in output


def test_machines_get_the_same_with_a_verdict_for_each_figure() -> None:
    output = report.as_dict(a_report())
    assert [figure["verdict"] for figure in output["figures"]] == ["met", "not met", ""]
    assert output["others_share"] == 0.2
    assert output["machine"]["flags"] == ("avx512_bf16",)


# -- the seam


def test_every_section_has_a_place_in_the_plan() -> None:
    options = Options(tuple(sections.SECTIONS), reference=True)
    assert sum(section.seconds(options) for section in sections.SECTIONS.values()) < 40 * 60
    for name in sections.SECTIONS:
        assert util.find_spec(f"fundusd_bench.{name}"), name


def test_a_file_that_is_no_capture_ends_the_measurement_with_what_to_do(tmp_path: Path) -> None:
    site.require_graded({"event": "sweep.finished"})
    with pytest.raises(FundusdError, match="not_retina") as caught:
        site.require_graded({"event": "capture.refused", "reason": "not_retina"})
    assert caught.value.hint


def test_pixels_of_a_large_capture_are_those_of_a_camera(cache: Path) -> None:
    data = captures.large(cache / "captures", 1)[0].read_bytes()
    with Image.open(BytesIO(data)) as picture:
        assert picture.getpixel((0, 0)) == (0, 0, 0)
    assert decode(data, Preprocessing.PAD_SQUARE, 448, Limits()).reason is None
