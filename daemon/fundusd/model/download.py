"""Download the pinned checkpoint from the hub, and tell the operator what to do if that fails."""

from __future__ import annotations

import errno
from logging import CRITICAL
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, constants, errors, get_token, snapshot_download

# the class of httpx or httpx2, whichever the library uses
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
from huggingface_hub.utils import logging, tqdm  # type: ignore[attr-defined]

from fundusd.domain.errors import ModelError
from fundusd.model.locate import DOWNLOAD, PHANTOM, is_hub_id, require_revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.model.checkpoint import Progress
    from fundusd.model.locate import ModelChoice

_PATTERNS = ["*.json", "*.safetensors", "spiece.model", "tokenizer*"]
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def download(choice: ModelChoice, on_progress: Progress | None = None) -> Path:
    """Download the pinned revision into the hub's cache and return its folder.

    Files that are already there are not downloaded again. `on_progress` is called with the bytes
    done and the total. Raises ModelError if the download is impossible or fails. The downloaded
    files are checked later, by `find`.
    """
    if not is_hub_id(choice.source):
        what = "ships with fundusd" if choice.source == PHANTOM else "is a folder"
        raise ModelError(
            f"There is nothing to download: model.source {choice.source!r} {what}.",
            hint="Check it with: fundusd model verify",
        )
    require_revision(choice)
    if constants.is_offline_mode():
        raise ModelError(
            "Downloads are disabled: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set.",
            hint=f"Unset it and run again: {DOWNLOAD}; "
            "or copy the cache from a machine that has the model.",
        )
    # the client also logs the errors that it raises, less clearly than fundusd does
    logging.set_verbosity(CRITICAL)
    try:
        # unlike the download, this fails immediately
        HfApi().model_info(choice.source, revision=choice.revision)
        folder = snapshot_download(
            choice.source,
            revision=choice.revision,
            allow_patterns=_PATTERNS,
            tqdm_class=_bar(on_progress),
        )
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, HTTPError, OSError) as error:
        raise explain(error, choice) from error
    return Path(folder)


def _bar(on_progress: Progress | None) -> type[tqdm]:
    """Return a class of invisible progress bars that call `on_progress` with the bytes written."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # the library's other bars count files, and bytes received
            self._counts_written = "Reconstructing" in kwargs.get("desc", "")
            options = {**kwargs, "disable": True, "name": None}
            super().__init__(*args, **options)  # type: ignore[no-untyped-call]
            self.n, self.total = kwargs.get("initial", 0), kwargs.get("total", 0)

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self._counts_written and on_progress:
                on_progress(int(self.n), max(int(self.total), int(self.n)))

    return Bar


def explain(error: BaseException, choice: ModelChoice) -> ModelError:
    """Return the error to raise for a failed download, with the next command to run."""
    for cause in _causes(error):
        if isinstance(cause, errors.HfHubHTTPError):
            return _explain_response(cause, choice)
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return ModelError(
                f"No space is left for {choice.source} in {constants.HF_HUB_CACHE}.",
                hint="Free some space (MedSigLIP needs 3.6 GB) or set HF_HOME to a larger disk, "
                f"then: {DOWNLOAD}",
            )
        if isinstance(cause, PermissionError | NotADirectoryError):
            return ModelError(
                f"{constants.HF_HUB_CACHE} cannot be written to.",
                hint=f"Run as the user that owns it, or set HF_HOME, then: {DOWNLOAD}",
            )
    return ModelError(
        f"{constants.ENDPOINT} cannot be reached, or the connection broke "
        f"({type(error).__name__}).",
        hint=f"Check the network and the proxy, then: {DOWNLOAD} (it resumes)",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, as the hub's client wraps the original error."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _explain_response(error: errors.HfHubHTTPError, choice: ModelChoice) -> ModelError:
    source, page = choice.source, f"{constants.ENDPOINT}/{choice.source}"
    has_token = get_token() is not None
    match error:
        case errors.GatedRepoError():  # first, since it is a RepositoryNotFoundError too
            return _explain_gate(source, page, has_token=has_token)
        case errors.RepositoryNotFoundError() if has_token:
            return ModelError(
                f"The hub has no model {source}.", hint=f"Check model.source; open {page}"
            )
        case errors.RepositoryNotFoundError():
            return ModelError(
                f"The hub has no model {source}, or shows it only with a token.",
                hint=f"Check model.source; open {page}; if it exists, run: hf auth login",
            )
        case errors.RevisionNotFoundError():
            return ModelError(
                f"{source} has no revision {choice.revision}.",
                hint=f"Set model.revision to one of {page}/commits/main",
            )
        case _:
            return _explain_status(error.response.status_code, source)


def _explain_gate(source: str, page: str, *, has_token: bool) -> ModelError:
    if has_token:
        return ModelError(
            f"The owner of this token has not accepted the terms of {source}.",
            hint=f"Accept them at {page} with the token's account, then: {DOWNLOAD}",
        )
    return ModelError(
        f"{source} needs a token: its terms must be accepted first, and no token is stored here.",
        hint=f"Accept the terms at {page}, then: hf auth login, then: {DOWNLOAD}",
    )


def _explain_status(status: int, source: str) -> ModelError:
    if status in {401, 403}:
        return ModelError(
            f"The hub refuses the token (HTTP {status}).",
            hint=f"Run: hf auth login, then: {DOWNLOAD}",
        )
    return ModelError(
        f"The hub cannot serve {source} now (HTTP {status}).",
        hint=f"Try again later: {DOWNLOAD}",
    )
