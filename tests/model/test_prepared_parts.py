"""Parts of a checkpoint are made once, made again if damaged, and never written to."""

from __future__ import annotations

import json
import os
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from fundusd_bench import random_checkpoint
from tests.model.model_cases import SINGLE, loaded, planned

from fundusd.domain.errors import ModelError
from fundusd.model import prepare
from fundusd.model.locate import ModelChoice, find
from fundusd.model.prepared_parts import PreparedParts, cache_folder, remembered_digests


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fundusd"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    random_checkpoint.write(folder, tiny=True)
    return folder


def test_the_services_cache_directory_comes_before_the_users(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == own_cache
    monkeypatch.setenv("CACHE_DIRECTORY", f"{tmp_path}/one:{tmp_path}/two")
    assert cache_folder() == tmp_path / "one"


@pytest.mark.usefixtures("own_process")
def test_parts_are_made_once_and_name_what_they_were_made_of(tiny: Path) -> None:
    choice = ModelChoice(str(tiny), prompts=SINGLE, dtype="float32")
    plan = planned(choice)

    made = plan.prepare()
    again = planned(choice).prepare()

    assert made == [prepare.KNOWN, prepare.prompts_part(plan.prompts), "torch-float32"]
    assert again == []
    part = PreparedParts(find(choice)).find("torch-float32")
    assert part is not None
    assert part.facts["checkpoint"] == f"{random_checkpoint.NAME} ({random_checkpoint.NOTICE})"


@pytest.mark.usefixtures("own_process")
def test_parts_are_made_from_a_folder_that_cannot_be_entered(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever types `sudo -u fundusd fundusd` may do so in their own, closed home."""
    (tmp_path / "closed").mkdir()
    monkeypatch.chdir(tmp_path / "closed")
    (tmp_path / "closed").rmdir()
    assert planned(ModelChoice(str(tiny), prompts=SINGLE, dtype="float32")).prepare()


def test_another_dtype_or_prompt_set_makes_only_its_own_part(tiny: Path) -> None:
    planned(ModelChoice(str(tiny), prompts=SINGLE, dtype="float32")).prepare()

    assert planned(ModelChoice(str(tiny), prompts=SINGLE, dtype="bfloat16")).prepare() == [
        "torch-bfloat16"
    ]
    more = planned(ModelChoice(str(tiny), prompts="icdr-descriptive", dtype="bfloat16"))
    assert more.prepare() == [prepare.prompts_part(more.prompts)]


@pytest.mark.usefixtures("own_process")
def test_two_daemons_that_start_at_once_make_one_set_of_parts(tiny: Path) -> None:
    choice = ModelChoice(str(tiny), prompts=SINGLE, dtype="float32")
    plans = [planned(choice), planned(choice)]
    with ThreadPoolExecutor(2) as pool:
        first, second = [pool.submit(plan.prepare) for plan in plans]
        done = wait([first, second], return_when=FIRST_COMPLETED).done
        served = plans[0 if first in done else 1].load()
        assert first.result() == second.result() != []
    assert served.require_unchanged(lambda: None) == []


def test_a_part_whose_bytes_changed_is_made_again(tiny: Path) -> None:
    choice = ModelChoice(str(tiny), prompts=SINGLE, dtype="float32")
    loaded(choice)
    part = PreparedParts(find(choice)).find("torch-float32")
    assert part is not None
    weights = part.path("tower.safetensors")
    broken = bytearray(weights.read_bytes())
    broken[-5] ^= 64
    weights.write_bytes(broken)

    loaded(choice)

    assert weights.read_bytes() != broken
    assert sorted(
        path.name for path in part.folder.parent.iterdir() if path.name.startswith(".")
    ) == [".lock"]


def test_a_manifest_that_cannot_be_read_counts_as_no_part(tiny: Path) -> None:
    choice = ModelChoice(str(tiny), prompts=SINGLE, dtype="float32")
    plan = planned(choice)
    plan.prepare()
    (PreparedParts(find(choice)).folder / "known" / "part.json").write_text("{")

    assert plan.prepare() == [prepare.KNOWN]


def test_a_cache_that_cannot_be_written_says_where_and_what_to_do(
    own_cache: Path, tiny: Path
) -> None:
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text("in the way")

    with pytest.raises(ModelError, match="cannot be written") as caught:
        loaded(ModelChoice(str(tiny), prompts=SINGLE))
    assert "CACHE_DIRECTORY" in caught.value.hint


def test_digests_are_remembered_until_a_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = remembered_digests(tmp_path, ["weights"])
    hashed: list[int] = []

    assert remembered_digests(tmp_path, ["weights"], lambda done, _: hashed.append(done)) == first
    assert hashed == []
    times = file.stat()
    file.write_bytes(b"two")
    # size and mtime are as before; only ctime shows the change
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert remembered_digests(tmp_path, ["weights"], lambda done, _: hashed.append(done)) != first
    assert hashed == [3]


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_memory_of_digests_only_costs_time(
    own_cache: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "weights").write_bytes(b"one")
    first = remembered_digests(tmp_path, ["weights"])
    (memory,) = (own_cache / "digests").iterdir()
    memory.write_text(content)

    assert remembered_digests(tmp_path, ["weights"]) == first
    assert json.loads(memory.read_text())["weights"]["sha256"] == first["weights"]
