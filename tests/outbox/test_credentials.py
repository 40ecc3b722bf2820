"""Credentials: what is presented to a receiver, and where it comes from."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.outbox import receiver_cases

from fundusd.outbox import http_post
from fundusd.outbox.credentials import BearerToken, ClientCredentials, Credentials
from fundusd.outbox.receivers import ReceiverError


class Server:
    """A server that keeps the requests and gives numbered tokens."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, list[str]]]] = []  # for a token
        self.presented: list[str | None] = []  # with a document
        self.status = 200
        self.granted: dict[str, Any] = {"token_type": "Bearer", "expires_in": 3600}

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Log nothing."""

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"])).decode()
                authorization = self.headers["Authorization"]
                status, body = owner.status, {}
                if self.path == "/token":
                    owner.asked.append((authorization, parse_qs(data)))
                    status = 200
                    body = {"access_token": f"token-{len(owner.asked)}", **owner.granted}
                else:
                    owner.presented.append(authorization)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}"
            finally:
                server.shutdown()
                thread.join()


def send(url: str, credentials: Credentials | None) -> None:
    http_post.post(url, b"", {}, connect_seconds=5, seconds=5, credentials=credentials)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("s3cret/+: \n")
    file.chmod(0o400)
    return file


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("abc.def-1\n")
    file.chmod(0o600)
    return file


def test_a_bearer_token_is_read_for_each_document(token: Path) -> None:
    server, credentials = Server(), BearerToken(token)
    with server.running() as url:
        send(url, credentials)
        token.write_text("renewed")
        send(url, credentials)

    assert server.presented == ["Bearer abc.def-1", "Bearer renewed"]


def test_a_credential_of_the_settings_goes_before_netrc(
    token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password word\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = Server()
    with server.running() as url:
        send(url, BearerToken(token))
        send(url, None)

    basic = f"Basic {base64.b64encode(b'user:word').decode()}"
    assert server.presented == ["Bearer abc.def-1", basic]


def test_client_credentials_buy_a_token_that_is_used_again(secret: Path) -> None:
    server = Server()
    with server.running() as url:
        credentials = ClientCredentials(f"{url}/token", "clinic one", secret, "system/*.write")
        send(url, credentials)
        send(url, credentials)

    [(authorization, form)] = server.asked
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"clinic+one:s3cret%2F%2B%3A"
    assert form == {"grant_type": ["client_credentials"], "scope": ["system/*.write"]}
    assert server.presented == ["Bearer token-1"] * 2


def test_a_token_is_bought_again_when_it_expires_or_is_refused(secret: Path) -> None:
    server = Server()
    with server.running() as url:
        credentials = ClientCredentials(f"{url}/token", "fundusd", secret)
        server.granted["expires_in"] = 0
        send(url, credentials)
        server.granted["expires_in"] = 3600
        send(url, credentials)
        server.status = 401
        send(url, credentials)
        server.status = 200
        send(url, credentials)

    assert server.presented == [
        "Bearer token-1",
        "Bearer token-2",
        "Bearer token-2",
        "Bearer token-3",
    ]


ODD = {
    "refused": b'HTTP/1.1 401 Unauthorized\r\n\r\n{"error": "invalid_client"}',
    "error with 200": b'HTTP/1.1 200 OK\r\n\r\n{"error": "invalid_client"}',
    "error of another form": b'HTTP/1.1 400 Bad Request\r\n\r\n{"error": {"code": 1}}',
    "login page": b"HTTP/1.1 200 OK\r\n\r\n<html>Sign in</html>",
    "list": b"HTTP/1.1 200 OK\r\n\r\n[]",
    "token that is no text": b'HTTP/1.1 200 OK\r\n\r\n{"access_token": 7}',
    "token with a line break": b'HTTP/1.1 200 OK\r\n\r\n{"access_token": "a\\r\\nHost: b"}',
    "nothing": b"",
}


@pytest.mark.parametrize("name", [*ODD, "no server", "no file"])
def test_a_delivery_waits_without_a_token(name: str, secret: Path) -> None:
    with contextlib.ExitStack() as stack:
        url = f"http://127.0.0.1:{receiver_cases.free_port()}"
        if name in ODD:
            url = stack.enter_context(receiver_cases.raw_server(ODD[name]))
        if name == "no file":
            secret.unlink()
        with pytest.raises(ReceiverError) as caught:
            send("http://127.0.0.1:1", ClientCredentials(url, "fundusd", secret))

    assert caught.value.is_outage
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("expires_in", [None, "3600", -5, 1e300, True, {}, 10**30])
def test_any_lifetime_of_a_token_is_taken(expires_in: Any, secret: Path) -> None:
    server = Server()
    server.granted["expires_in"] = expires_in
    with server.running() as url:
        send(url, ClientCredentials(f"{url}/token", "fundusd", secret))

    assert server.presented == ["Bearer token-1"]
