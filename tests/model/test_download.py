from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import constants

from fundusd.domain.errors import ModelError
from fundusd.model.download import download, explain
from fundusd.model.locate import ModelChoice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REVISION = "0123456789abcdef" * 2 + "01234567"
CHOICE = ModelChoice("google/medsiglip-448", REVISION)
TOKEN = "hf_secret"  # noqa: S105  of nobody
HEADER = b'{"vision_model.w": {"dtype": "F32", "shape": [50000], "data_offsets": [0, 200000]}}'
FILES = {
    "config.json": b'{"model_type": "siglip"}',
    "model.safetensors": len(HEADER).to_bytes(8, "little") + HEADER + bytes(200_000),
    "spiece.model": b"pieces",
    "tokenizer_config.json": b"{}",
    "README.md": b"not wanted",
    "pytorch_model.bin": b"not wanted either",
}
PROGRAM = """
import json, resource, sys
from fundusd.domain.errors import ModelError
from fundusd.model.download import download
from fundusd.model.locate import ModelChoice, find
source, revision, limit = sys.argv[1:]
choice, progress = ModelChoice(source, revision), []
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
try:
    folder = download(choice, lambda done, total: progress.append([done, total]))
    names = sorted(path.name for path in folder.iterdir())
    answer = {"label": find(choice).label, "progress": progress, "folder": names}
except ModelError as error:
    answer = {"message": error.message, "hint": error.hint}
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
print(json.dumps(answer))
"""


@dataclass
class Hub:
    """A small hub on 127.0.0.1; `refuse` maps a kind of request to a status and an error code."""

    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    cut: bool = False
    url: str = ""
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def is_large(name: str) -> bool:
    return name in {"model.safetensors", "spiece.model"}


def listing() -> list[dict[str, Any]]:
    return [
        {"type": "file", "path": name, "size": len(content), "oid": git_id(content)}
        | (
            {
                "lfs": {
                    "oid": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 130,
                }
            }
            if is_large(name)
            else {}
        )
        for name, content in FILES.items()
    ]


class Server(ThreadingHTTPServer):
    hub: Hub


class Handler(BaseHTTPRequestHandler):
    """Serves the repository of its server's `Hub`."""

    server: Server

    def log_message(self, *args: object) -> None:
        """Log nothing."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        hub = self.server.hub
        path = self.path.split("?")[0]
        if CHOICE.source in path:
            hub.asked.append(path)
            hub.tokens.add(self.headers.get("Authorization"))
        kind = "api" if path.startswith("/api/") else "file"
        if kind in hub.refuse:
            status, code = hub.refuse[kind]
            self.give(status, b"{}", {"X-Error-Code": code} if code else {})
        elif path == f"/api/models/{CHOICE.source}/revision/{REVISION}":
            self.give(200, json.dumps({"id": CHOICE.source, "sha": REVISION}).encode(), {})
        elif path == f"/api/models/{CHOICE.source}/tree/{REVISION}":
            self.give(200, json.dumps(listing()).encode(), {"Content-Type": "application/json"})
        elif path.startswith(f"/{CHOICE.source}/resolve/{REVISION}/"):
            self.give_file(path.rpartition("/")[2], body=body)
        else:
            self.give(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def give_file(self, name: str, *, body: bool) -> None:
        content = FILES[name]
        headers = {"X-Repo-Commit": REVISION, "ETag": f'"{git_id(content)}"'}
        if is_large(name):
            headers |= {
                "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Linked-Size": str(len(content)),
            }
        self.give(200, content, headers, body=body)

    def give(
        self, status: int, content: bytes, headers: dict[str, str], *, body: bool = True
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(
                content[: len(content) // 2]
                if self.server.hub.cut and len(content) > 1000
                else content
            )


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    server = Server(("127.0.0.1", 0), Handler)
    server.hub = hub
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(
    hub: Hub, home: Path, *, token: str = "", limit: int = 0, more: dict[str, str] | None = None
) -> dict[str, Any]:
    """Download in a new process, since the hub's client reads its environment at import."""
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))
    }
    env |= {
        "HF_HOME": str(home),
        "HF_ENDPOINT": hub.url,
        "NO_PROXY": "127.0.0.1",
        "HOME": str(home),
    }
    env |= {"HF_TOKEN": token} if token else {}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, CHOICE.source, REVISION, str(limit)],
        env=env | (more or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_download_fetches_what_a_model_is_made_of_and_find_accepts_it(
    hub: Hub, tmp_path: Path
) -> None:
    answer = fetch(hub, tmp_path, token=TOKEN)

    assert answer["label"] == CHOICE.source
    assert answer["folder"] == [
        "config.json",
        "model.safetensors",
        "spiece.model",
        "tokenizer_config.json",
    ]
    total = sum(len(content) for name, content in FILES.items() if name in answer["folder"])
    assert answer["progress"][-1] == [total, total]
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_a_second_download_fetches_nothing_again(hub: Hub, tmp_path: Path) -> None:
    fetch(hub, tmp_path)
    hub.asked.clear()

    assert fetch(hub, tmp_path)["label"] == CHOICE.source
    assert not [path for path in hub.asked if "resolve" in path]


@pytest.mark.parametrize("kind", ["api", "file"])
def test_a_gated_model_with_a_token_asks_for_its_terms_to_be_accepted(
    hub: Hub, tmp_path: Path, kind: str
) -> None:
    hub.refuse[kind] = (403, "GatedRepo")
    answer = fetch(hub, tmp_path, token=TOKEN)

    assert "has not accepted the terms of google/medsiglip-448" in answer["message"]
    assert f"{hub.url}/google/medsiglip-448" in answer["hint"]
    assert TOKEN not in str(answer)


@pytest.mark.parametrize("kind", ["api", "file"])
def test_a_gated_model_without_a_token_asks_for_a_login(
    hub: Hub, tmp_path: Path, kind: str
) -> None:
    hub.refuse[kind] = (401, "GatedRepo")
    answer = fetch(hub, tmp_path)

    assert "needs a token" in answer["message"]
    assert "hf auth login" in answer["hint"]


@pytest.mark.parametrize(
    ("refusal", "token", "message", "hint"),
    [
        (
            (404, "RepoNotFound"),
            TOKEN,
            "The hub has no model google/medsiglip-448",
            "Check model.source",
        ),
        ((401, "RepoNotFound"), "", "or shows it only with a token", "hf auth login"),
        ((404, "RevisionNotFound"), TOKEN, f"has no revision {REVISION}", "commits/main"),
        ((403, ""), TOKEN, "The hub refuses the token", "hf auth login"),
        ((400, ""), "", "cannot serve google/medsiglip-448 now (HTTP 400)", "Try again later"),
    ],
)
def test_each_answer_of_the_hub_has_a_sentence_and_a_next_step(
    hub: Hub, tmp_path: Path, refusal: tuple[int, str], token: str, message: str, hint: str
) -> None:
    hub.refuse["api"] = refusal
    answer = fetch(hub, tmp_path, token=token)

    assert message in answer["message"]
    assert hint in answer["hint"]


def test_a_hub_that_cannot_be_reached_is_said_to_be(hub: Hub, tmp_path: Path) -> None:
    discard_port = "http://127.0.0.1:9"  # nobody listens
    answer = fetch(hub, tmp_path, more={"HF_ENDPOINT": discard_port})

    assert "http://127.0.0.1:9 cannot be reached" in answer["message"]
    assert "fundusd model download" in answer["hint"]


def test_a_connection_that_breaks_is_told_and_can_be_taken_up_again(
    hub: Hub, tmp_path: Path
) -> None:
    hub.cut = True
    answer = fetch(hub, tmp_path)
    assert "the connection broke" in answer["message"]
    assert "it resumes" in answer["hint"]

    hub.cut = False
    assert fetch(hub, tmp_path)["label"] == CHOICE.source


def test_a_disk_without_room_is_told(hub: Hub, tmp_path: Path) -> None:
    answer = fetch(hub, tmp_path, limit=100_000)

    assert "No space is left for google/medsiglip-448" in answer["message"]
    assert "Free some space" in answer["hint"]


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_mode_is_told_before_anything_is_asked(
    hub: Hub, tmp_path: Path, variable: str
) -> None:
    answer = fetch(hub, tmp_path, more={variable: "1"})

    assert "HF_HUB_OFFLINE" in answer["message"]
    assert not hub.asked


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "full"), "No space is left"),
        (OSError(errno.EDQUOT, "quota"), "No space is left"),
        (PermissionError(errno.EACCES, "no"), "cannot be written"),
        (OSError(errno.EIO, "broken"), "cannot be reached, or the connection broke (OSError)"),
    ],
)
def test_the_first_cause_is_what_is_explained(error: OSError, sentence: str) -> None:
    wrapped = FileNotFoundError("cannot find the requested files")
    wrapped.__cause__ = error

    for raised in (error, wrapped):
        assert sentence.split("(", maxsplit=1)[0] in explain(raised, CHOICE).message


@pytest.mark.parametrize("source", ["phantom", "/srv/models/mine"])
def test_a_folder_and_the_phantom_have_nothing_to_download(source: str) -> None:
    with pytest.raises(ModelError, match="nothing to download"):
        download(ModelChoice(source))


def test_a_branch_name_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(ModelError, match="exact version"):
        download(ModelChoice(CHOICE.source, "main"))
