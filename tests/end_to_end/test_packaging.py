"""What ships: the wheel's content, the README's commands, the layers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fundusd.domain.errors import (
    DeviceLost,
    ModelError,
    NotInstalled,
    OutOfMemory,
    SettingsError,
)
from fundusd.ledger import schema, views

ROOT = Path(__file__).parents[2]
Ended = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from what git knows, with the tools of this environment."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(out),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_everything_an_installation_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    needed = {
        "fundusd/__main__.py",
        "fundusd/migrations/env.py",
        "fundusd/migrations/versions/0001_first_schema.py",
        "fundusd/config/fundusd.toml",
        "fundusd/config/prompts/icdr-descriptive.toml",
        "fundusd/config/prompts/severity-short.toml",
        "fundusd/model/phantom/model.safetensors",
        "fundusd/model/phantom/spiece.model",
        "fundusd/model/phantom/README.md",
        "fundusd/systemd/fundusd.service",
    }
    needed |= {f"fundusd/ledger/views/{view}.sql" for view in views.definitions()}
    assert not needed - names
    assert any(name.endswith("data/lib/systemd/system/fundusd.service") for name in names)
    assert not [name for name in names if "/tests/" in name or name.startswith("tests/")]


def test_the_wheel_holds_no_weights_but_the_phantoms(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    large = {info.filename for info in archive.infolist() if info.file_size > 1_000_000}
    assert large == {"fundusd/model/phantom/model.safetensors"}
    phantom = sum(
        info.file_size
        for info in archive.infolist()
        if info.filename.startswith("fundusd/model/phantom/")
    )
    assert phantom <= 4 * 1024 * 1024


def test_an_installed_wheel_finds_its_own_folders(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (
        "from fundusd.app import settings_file; from fundusd.files import package_data; "
        "from fundusd.ledger import schema; config = package_data.folder('config'); "
        "print(config); print(schema.newest()); print(settings_file.load(config / "
        "'fundusd.toml').camera[0].id)"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(
        command, check=True, capture_output=True, env={"PYTHONPATH": str(tmp_path)}, text=True
    )
    assert ended.stdout.split() == [
        str(tmp_path / "fundusd" / "config"),
        schema.newest(),
        "cr2-room1",
    ]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """Return a function that runs fundusd from the wheel, without this checkout."""
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    libraries = [path for path in sys.path if not (Path(path) / "fundusd_bench").is_dir()]
    environment = {"PYTHONPATH": ":".join([str(folder), *libraries]), "COLUMNS": "100"}

    def run(*words: str) -> Ended:
        # -S: the editable installation's .pth file, which names the benchmark's folder, is not read
        command = [sys.executable, "-S", "-m", "fundusd", *words]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=folder
        )

    return run


def test_an_installed_wheel_says_how_to_get_the_benchmark(installed: Callable[..., Ended]) -> None:
    for words in ((), ("--decode",), ("--end-to-end", "--json")):
        ended = installed("bench", *words)
        assert ended.returncode == NotInstalled.exit_code == 69
        assert not ended.stdout
        message, hint = ended.stderr.splitlines()
        assert message.startswith("fundusd: The benchmark is not installed")
        assert "with git" in hint
        assert "pip install --editable ." in hint


def test_the_help_of_the_benchmark_needs_no_benchmark(installed: Callable[..., Ended]) -> None:
    ended = installed("bench", "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--end-to-end" in ended.stdout
    assert "is part of a checkout" in " ".join(ended.stdout.split())


def commands(heading: str) -> list[str]:
    """Read the shell block that follows some words of the README."""
    text = (ROOT / "README.md").read_text()
    block = re.search(r"```sh\n(.*?)```", text[text.index(heading) :], re.DOTALL)
    assert block is not None
    lines = re.sub(r"\\\n\s*", "", block[1]).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def test_the_first_screen_shows_two_commands_that_make_knows() -> None:
    assert commands("Two commands") == ["make demo", "make test"]
    for target in ("demo", "test"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("command", commands("work offline right after"))
def test_the_readmes_offline_commands_work_as_they_stand(command: str) -> None:
    words = command.split()
    assert words[0] == ".venv/bin/fundusd"
    fundusd = Path(sys.executable).parent / "fundusd"
    ended = subprocess.run(
        [fundusd, *words[1:]], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert ended.stdout


def test_the_readme_names_every_command() -> None:
    help_text = subprocess.run(
        [Path(sys.executable).parent / "fundusd", "--help"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    listed = re.findall(r"^  ([a-z]+)  ", help_text.split("Commands:")[1], re.MULTILINE)
    readme = (ROOT / "README.md").read_text()
    assert len(listed) >= 11
    assert not [name for name in listed if f"`fundusd {name}" not in readme]


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_init_shadows_a_library() -> None:
    assert not [
        name
        for name in ("daemon", "migrations", "config", "systemd")
        if (ROOT / name / "__init__.py").exists()
    ]


def test_a_command_that_needs_no_model_loads_no_torch() -> None:
    heavy = ("torch", "transformers", "sqlalchemy", "pydicom")
    script = f"import sys, fundusd.cli; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert ended.stdout.strip() == "[]"


def test_the_units_start_the_service_again_whatever_it_ended_with_but_wrong_settings() -> None:
    for unit in sorted((ROOT / "systemd").glob("*.service")):
        lines = unit.read_text().splitlines()
        assert "Restart=always" in lines, unit
        assert [line for line in lines if line.startswith("RestartPreventExitStatus=")] == [
            f"RestartPreventExitStatus={SettingsError.exit_code}"
        ]
    assert SettingsError.exit_code not in {
        error.exit_code for error in (DeviceLost, ModelError, OutOfMemory)
    }


def test_the_documentation_that_the_units_name_is_installed_with_the_program(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    installed = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}
    for unit in sorted((ROOT / "systemd").glob("*.service")):
        named = re.findall(
            r"^Documentation=file:/opt/fundusd/(.+)$", unit.read_text(), re.MULTILINE
        )
        assert len(named) == unit.read_text().count("Documentation=") == 2
        assert not set(named) - installed, unit


def test_the_readmes_installation_needs_the_command_in_path_and_the_services_user() -> None:
    steps = commands("Installation as a service")
    assert steps[0] == "sudo make install"
    asking = [step for step in steps if "fundusd fundusd" in step or step.startswith("fundusd")]
    assert len(asking) == 3
    for step in asking[:-1]:  # only this user may read the site key and write the caches
        assert step.startswith("sudo -u fundusd fundusd ")
    installing = subprocess.run(
        ["make", "--dry-run", "install-steps"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert "ln -sf /opt/fundusd/bin/fundusd /usr/bin/fundusd" in installing
    assert "[ -e /etc/fundusd/fundusd.toml ] ||" in installing  # an upgrade keeps the settings
