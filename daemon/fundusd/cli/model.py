"""fundusd model: fetch, verify, prepare and describe the checkpoint."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import Config, Json, ModelSource, Revision, settings_for
from fundusd.cli.output import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.app.settings import Settings
    from fundusd.model.planning import ModelPlan

app = typer.Typer(help="Fetch, verify, prepare and describe the model.", no_args_is_help=True)


@contextmanager
def _progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error, and yield the function that updates it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(label), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@app.command(cls=Command)
def download(config: Config = None, model: ModelSource = "", revision: Revision = "") -> None:
    """Download the pinned revision of the model into the hub cache.

    MedSigLIP is gated: accept its terms on its page first, and log in with `hf auth login`. If
    [model] source is a folder or "phantom", there is nothing to download, and the model is only
    verified.

    Example:
      fundusd model download --config /etc/fundusd/fundusd.toml
    """
    from fundusd.app.factory import model_choice
    from fundusd.model.download import download as fetch
    from fundusd.model.locate import find, is_hub_id

    choice = model_choice(settings_for(config, model, revision))
    if is_hub_id(choice.source):
        with _progress_bar("downloading") as progress:
            fetch(choice, progress)
    with _progress_bar("verifying") as progress:
        checkpoint = find(choice, progress)
    print(f"{checkpoint.label} at {checkpoint.revision} is complete in {checkpoint.folder}")


@app.command(cls=Command)
def verify(
    config: Config = None, model: ModelSource = "", revision: Revision = "", json: Json = False
) -> None:
    """Hash the model's files, load the model, and test its answers.

    In the test, the model embeds rendered photographs of every grade, whose correct embeddings are
    known.

    Examples:
      fundusd model verify
      fundusd model verify --model phantom
    """
    classifier = _prepared(settings_for(config, model, revision)).load(thorough=True)
    release = classifier.release
    if json:
        print(as_json(release))
        return
    result = classifier.self_test_result
    print(
        f"{release.model} loads on {classifier.device_name} in {release.dtype} "
        "and embeds known phantoms correctly:"
    )
    print(f"lowest cosine similarity {result.cosine:.7f}, required minimum {result.tolerance}")
    print(f"revision {release.revision}")
    print(f"weights {release.weights_digest}")
    print(
        f"prompt set {release.prompt_set}, preprocessing {release.preprocessing}, {release.runtime}"
    )


@app.command(cls=Command)
def prepare(config: Config = None, model: ModelSource = "", revision: Revision = "") -> None:
    """Prepare the model for `fundusd run`.

    Embeds the prompts and writes the vision tower to a file of its own, in the dtype in which it
    runs. The first `fundusd run` does the same; after an update, prepare the model while the old
    version is still running. The files are written to $CACHE_DIRECTORY (set by systemd),
    $XDG_CACHE_HOME/fundusd or ~/.cache/fundusd.

    Examples:
      fundusd model prepare
      fundusd model prepare --model phantom
    """
    release = _prepared(settings_for(config, model, revision)).release
    print(f"{release.model} is prepared for {release.runtime}, {release.dtype}.")


def _prepared(settings: Settings) -> ModelPlan:
    """Hash the model's files, create the missing prepared parts, and return the plan."""
    from rich.console import Console

    from fundusd.app.factory import plan_model

    with _progress_bar("verifying") as progress:
        planned = plan_model(settings, progress, afresh=True)
    with Console(stderr=True).status("preparing the model (once; it takes about a minute)"):
        planned.prepare()
    return planned


@app.command(cls=Command)
def info(
    config: Config = None, model: ModelSource = "", revision: Revision = "", json: Json = False
) -> None:
    """Describe the model, with the sizes and digests of its files.

    The model is not loaded.

    Example:
      fundusd model info --model phantom --json
    """
    from fundusd.app.factory import model_choice
    from fundusd.model.checkpoint import describe
    from fundusd.model.locate import find

    with _progress_bar("hashing") as progress:
        facts = describe(find(model_choice(settings_for(config, model, revision)), progress))
    if json:
        print(as_json(facts))
        return
    files = facts.pop("files")
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
    for file in files:
        print(f"  {file['sha256']}  {file['bytes']:>13,}  {file['name']}")
