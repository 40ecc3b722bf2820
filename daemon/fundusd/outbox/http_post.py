"""Send requests to web servers, and read their answers within limits of size and time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import zlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fundusd.outbox.receivers import phrase, unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.outbox.credentials import Credentials

MAX_ANSWER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a web server.

    `problem` says why the body could not be read as a whole; in that case, `body` is empty.
    """

    status: int
    body: bytes = b""
    problem: str = ""

    @property
    def phrase(self) -> str:
        """Return the status with its phrase, and the problem with the body if there is one."""
        text = phrase(self.status)
        return f"{text}, but its answer {self.problem}" if self.problem else text

    @property
    def is_success(self) -> bool:
        """Return whether the status is a success; only the body says if a document was stored."""
        return 200 <= self.status < 300  # noqa: PLR2004  the class of HTTP statuses


def post(
    url: str,
    data: bytes,
    headers: Mapping[str, str],
    *,
    connect_seconds: float,
    seconds: float,
    credentials: Credentials | None = None,
) -> Answer:
    """Post `data` and return the answer, as `request` does."""
    timeouts = (connect_seconds, seconds)
    return request("POST", url, data, headers, timeouts=timeouts, credentials=credentials)


def request(
    method: str,
    url: str,
    data: bytes,
    headers: Mapping[str, str],
    *,
    timeouts: tuple[float, float],
    credentials: Credentials | None = None,
) -> Answer:
    """Send a request and return the answer, whatever its status.

    `timeouts` are the seconds to connect, and the seconds for the head of the answer. The server
    has as long again for the body, of which at most MAX_ANSWER_BYTES are read. Redirects are not
    followed. Without an Authorization header, the one of `credentials` is used, or what .netrc has
    for the server. Raises ReceiverError if there is no answer or no authorization.
    """
    import requests

    seconds = timeouts[1]
    headers = {"Accept-Encoding": "identity", **headers}
    if credentials is not None:
        headers["Authorization"] = credentials.authorization()
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, _adapter(seconds))
        # a redirected POST becomes a GET, whose 200 proves nothing; and requests reads the whole
        # body of a redirect, even if it is told not to follow it
        session.get_redirect_target = lambda _response: None
        try:
            response = session.request(
                method,
                url,
                data=data,
                headers=headers,
                # requests would prefer .netrc to the header
                auth=_unchanged if "Authorization" in headers else None,
                timeout=timeouts,
                stream=True,
            )
        except requests.RequestException as error:
            raise unreachable(error) from None
        if credentials is not None and response.status_code == HTTPStatus.UNAUTHORIZED:
            credentials.refused()
        with response:
            return _read(response, time.monotonic() + seconds)


def _adapter(seconds: float) -> Any:
    """Return an adapter that hangs up if the head of an answer takes longer than `seconds`.

    The timeout of requests is only for each single read, and begins anew with each byte.
    """
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):  # type: ignore[misc]  # requests has no types
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool = super().get_connection_with_tls_context(*args, **kwargs)
            pool.ConnectionCls = _impatient(pool.ConnectionCls, seconds)
            return pool

    return Adapter()


def _impatient(connection_class: Any, seconds: float) -> Any:
    class Connection(connection_class):  # type: ignore[misc]  # http or https
        def getresponse(self) -> Any:
            timer = threading.Timer(seconds, _hang_up, (self.sock,))
            timer.start()
            try:
                return super().getresponse()
            finally:
                timer.cancel()

    return Connection


def _hang_up(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _unchanged(request: Any) -> Any:
    return request


def _read(response: Any, deadline: float) -> Answer:
    from urllib3.exceptions import HTTPError

    status, body = response.status_code, bytearray()
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                return Answer(status, problem="is longer than 1 MiB")
            if time.monotonic() > deadline:
                return Answer(status, problem="took too long")
        return _decompressed(response.headers.get("Content-Encoding"), Answer(status, bytes(body)))
    except (HTTPError, OSError) as error:
        return Answer(status, problem=f"broke off ({type(error).__name__})")


def _decompressed(encoding: str | None, answer: Answer) -> Answer:
    """Return the answer with its body decompressed, if a server compresses it unasked."""
    if (encoding or "").lower() not in {"gzip", "x-gzip", "deflate"}:
        return answer
    try:
        body = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(answer.body, MAX_ANSWER_BYTES + 1)
    except zlib.error:
        return Answer(answer.status, problem="is damaged")
    if len(body) > MAX_ANSWER_BYTES:
        return Answer(answer.status, problem="is longer than 1 MiB")
    return Answer(answer.status, body)
