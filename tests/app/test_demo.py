"""The demo, as a newcomer runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fundusd.app import child_daemon, demo
from fundusd.domain.errors import FundusdError, ModelError, RequestError


def test_the_demo_shows_every_capture_landing_and_grades_most_phantoms_as_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.run("phantom", "", tmp_path / "kept")
    output = " ".join(capsys.readouterr().out.split())
    for part in (
        "capture.graded",
        "capture.reused",
        "capture.failed",
        "capture.refused",
        "not for patients",
    ):
        assert part in output
    assert "14 files, 0 unaccounted for" in output
    assert "The audit chain holds" in output
    agreement = re.search(r"(\d+) of 10 phantoms graded as rendered", output)
    assert agreement is not None
    assert int(agreement[1]) >= 6
    assert (tmp_path / "kept" / "fundusd.db").exists()


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="not empty"):
        demo.run("phantom", "", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_that_cannot_be_used_is_told_as_the_daemon_tells_it(tmp_path: Path) -> None:
    with pytest.raises(FundusdError) as caught:
        demo.run(str(tmp_path / "no-model"), "", tmp_path / "kept")
    assert caught.value.hint
    assert caught.value.exit_code == ModelError.exit_code


def test_a_temporary_folder_is_gone_afterwards() -> None:
    with child_daemon.folder(None) as folder:
        assert folder.is_dir()
    assert not folder.exists()
