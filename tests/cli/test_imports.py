"""What a command imports decides how fast it answers; the modules are tested, not the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests import daemon_cases

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {
    *(
        "torch",
        "transformers",
        "openvino",
        "numpy",
        "PIL",
        "pydicom",
        "watchdog",
        "huggingface_hub",
        "structlog",
    ),
    *("highdicom", "pynetdicom", "requests", "urllib3"),
}
PROGRAM = """\
import json, sys
from fundusd.cli.commands import command_line
try:
    command_line({arguments!r})({arguments!r}, standalone_mode=False)
finally:
    print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


def modules_of(*arguments: str) -> set[str]:
    program = PROGRAM.format(arguments=list(arguments))
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def settings_file(sqlite_url: str, tmp_path: Path) -> str:
    return str(daemon_cases.site(tmp_path, sqlite_url).path)


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "results",
        "reconcile",
        "retry --failed",
        "db check",
        "audit verify",
        "outbox",
        "worklist",
        "report quality",
    ],
)
def test_a_command_that_needs_no_model_imports_no_library_of_the_model(
    command: str, settings_file: str
) -> None:
    loaded = modules_of(*command.split(), "--config", settings_file)

    assert not loaded & (HEAVY | {"alembic"})


@pytest.mark.parametrize("command", ["status", "results", "worklist", "outbox"])
def test_a_query_imports_no_other_command_and_nothing_that_reads_names(
    command: str, settings_file: str
) -> None:
    program = """
import json, sys
from fundusd.cli.commands import command_line
words = sys.argv[1:]
try:
    command_line(words)(words, standalone_mode=False)
finally:
    print(json.dumps(list(sys.modules)))
"""
    arguments = [sys.executable, "-c", program, command, "--config", settings_file]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert f"fundusd.cli.{command}" in loaded
    assert not loaded & {
        "rich",
        "fundusd.cli.demo",
        "fundusd.cli.review",
        "fundusd.clinical.laterality",
        "fundusd.clinical.path_rules",
        "fundusd.outbox.transports",
    }


@pytest.mark.parametrize("command", ["info", "verify", "prepare"])
def test_a_model_that_is_not_downloaded_is_reported_without_importing_torch(
    command: str, tmp_path: Path
) -> None:
    program = """
import sys
from fundusd.cli import main
try:
    main()
finally:
    assert not {"torch", "transformers", "openvino"} & set(sys.modules)
"""
    words = ["model", command, "--model", "google/medsiglip-448", "--revision", "a" * 40]
    ended = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, "is not downloaded" in ended.stderr) == (69, True), ended.stderr
    assert "AssertionError" not in ended.stderr


def test_a_prepared_model_is_served_without_the_library_that_reads_checkpoints() -> None:
    program = """
import sys
from fundusd.app import factory, settings, settings_service
strangers_of = {"openvino": {"torch", "transformers"}, "torch": {"transformers", "tokenizers"}}
for backend, strangers in strangers_of.items():
    model = settings_service.ModelSettings(source="phantom", backend=backend)
    chosen = settings.Settings().model_copy(update={"model": model})
    planned = factory.plan_model(chosen)
    planned.prepare()
    planned.load()
    assert not strangers & set(sys.modules), backend
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_a_gpu_the_daemon_watches_before_torch_is_imported() -> None:
    """The ledger, the watcher and the decoders wait for the plan, but not for the model."""
    program = """
import sys
from fundusd.app import factory, settings, settings_service
from fundusd.model import device
device._NVIDIA_DRIVERS = device._AMD_DRIVERS = ()
model = settings_service.ModelSettings(source="phantom")
planned = factory.plan_model(settings.Settings().model_copy(update={"model": model}))
assert planned.release.runtime.startswith("torch 2.") and planned.runtime.is_cpu
assert not {"torch", "transformers", "openvino"} & set(sys.modules)
without_a_receiver = {"pydicom", "highdicom", "pynetdicom", "requests", "matplotlib"}
assert not without_a_receiver & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_help_imports_not_even_the_database() -> None:
    assert not modules_of("--help") & (HEAVY | {"alembic", "sqlalchemy", "pydantic"})
