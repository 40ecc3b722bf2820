"""fundusd model: fetch, verify and describe the checkpoint."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.options import Config, Json, Revision, as_json, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.app.settings import Settings
    from fundusd.model.classifier import ModelPlan

app = typer.Typer(help="Fetch, verify and describe the model.", no_args_is_help=True)

Source = Annotated[
    str, typer.Option("--model", metavar="SOURCE", help="Instead of the settings' model.")
]


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far a long read has come, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@app.command()
def download(config: Config = None, model: Source = "", revision: Revision = "") -> None:
    """Download the pinned revision of the model into the local hub cache.

    MedSigLIP is gated: accept its terms on its page first and log in with `hf auth login`.

    Example: fundusd model download --config /etc/fundusd/fundusd.toml
    """
    from fundusd.app.factory import model_choice
    from fundusd.model.download import download as fetch
    from fundusd.model.locate import find

    choice = model_choice(settings_for(config, model, revision))
    with _bar("downloading") as progress:
        fetch(choice, progress)
    with _bar("verifying") as progress:
        checkpoint = find(choice, progress)
    print(f"{checkpoint.label} at {checkpoint.revision} is here, whole: {checkpoint.folder}")


@app.command()
def verify(
    config: Config = None, model: Source = "", revision: Revision = "", json: Json = False
) -> None:
    """Hash every file of the model, load it and run the canary: phantoms of every grade, whose answers are known.

    Examples: fundusd model verify; fundusd model verify --model phantom
    """
    classifier = _made_ready(settings_for(config, model, revision)).load(thorough=True)
    release = classifier.release
    if json:
        print(as_json(release))
        return
    result = classifier.self_test_result
    print(
        f"{release.model} loads on {classifier.device_name} in {release.dtype} and answers known phantoms:"
    )
    print(f"cosine {result.cosine:.7f} to the right answers, wanted {result.tolerance}")
    print(f"revision {release.revision}")
    print(f"weights {release.weights_digest}")
    print(
        f"prompt set {release.prompt_set}, preprocessing {release.preprocessing}, {release.runtime}"
    )


@app.command()
def prepare(config: Config = None, model: Source = "", revision: Revision = "") -> None:
    """Make what `fundusd run` maps at its start: prompts embedded, the vision tower alone in its dtype.

    The first `run` does it too; after an update, do it here while the old one still serves. It goes to
    $CACHE_DIRECTORY (the service's), else $XDG_CACHE_HOME/fundusd, else ~/.cache/fundusd.

    Examples: fundusd model prepare; fundusd model prepare --model phantom
    """
    planned = _made_ready(settings_for(config, model, revision))
    print(
        f"{planned.release.model} is prepared for {planned.release.runtime}, {planned.release.dtype}."
    )


def _made_ready(settings: Settings) -> ModelPlan:
    from rich.console import Console

    from fundusd.app.factory import plan_model

    with _bar("verifying") as progress:
        planned = plan_model(settings, progress, afresh=True)
    with Console(stderr=True).status("preparing the model (once: it takes about a minute)"):
        planned.prepare()
    return planned


@app.command()
def info(
    config: Config = None, model: Source = "", revision: Revision = "", json: Json = False
) -> None:
    """Describe the model's files, sizes and digests without loading it.

    Example: fundusd model info --model phantom --json
    """
    from fundusd.app.factory import model_choice
    from fundusd.model.checkpoint import describe
    from fundusd.model.locate import find

    with _bar("hashing") as progress:
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
