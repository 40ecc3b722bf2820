"""The credentials with which documents are sent to web servers, read from files."""

from __future__ import annotations

import base64
import re
import stat
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote_plus, urlencode

import orjson

from fundusd.domain.errors import SettingsError
from fundusd.files.owners import closing
from fundusd.outbox import http_post
from fundusd.outbox.receivers import ANSWER_SECONDS, CONNECT_SECONDS, ReceiverError

if TYPE_CHECKING:
    from pathlib import Path

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
_MARGIN_SECONDS = 30.0  # a token is renewed so long before it expires
_DEFAULT_SECONDS = 300.0  # if the server does not say when a token expires
_MAX_SECONDS = 86400.0


class Credentials(Protocol):
    """What is presented to a web server."""

    def authorization(self) -> str:
        """Return the value of the Authorization header.

        Raises ReceiverError if there is none at present.
        """
        ...

    def refused(self) -> None:
        """Note that the server did not accept the last authorization (401)."""
        ...

    def require_readable(self) -> None:
        """Raise SettingsError if the file with the secret cannot be used."""
        ...


class BearerToken:
    """A token that somebody else renews; its file is read for each document."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def authorization(self) -> str:
        """Return the token as the value of the Authorization header."""
        return f"Bearer {_secret(self._file)}"

    def refused(self) -> None:
        """Do nothing: the file is read again for the next document."""

    def require_readable(self) -> None:
        """Raise SettingsError if the file does not contain a token that only fundusd can read."""
        if _TOKEN.fullmatch(read_secret(self._file)) is None:
            raise SettingsError(
                f"The credential file {self._file} does not contain a bearer token.",
                hint='Write only the token into it, without "Bearer".',
            )


class ClientCredentials:
    """OAuth 2.0 client credentials (RFC 6749 4.4), which buy tokens that are kept in memory."""

    def __init__(self, token_url: str, client_id: str, secret_file: Path, scope: str = "") -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._secret_file = secret_file
        self._form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._token, self._valid_until = "", 0.0

    def authorization(self) -> str:
        """Return a token as the value of the Authorization header; ask for one if needed."""
        if not self._token or time.monotonic() >= self._valid_until:
            self._ask()
        return f"Bearer {self._token}"

    def refused(self) -> None:
        """Forget the token, so that the next document is sent with another one."""
        self._token = ""

    def require_readable(self) -> None:
        """Raise SettingsError if the file with the secret cannot be used."""
        read_secret(self._secret_file)

    def _ask(self) -> None:
        pair = f"{quote_plus(self._client_id)}:{quote_plus(_secret(self._secret_file))}"
        asked_at = time.monotonic()
        answer = http_post.post(
            self._token_url,
            urlencode(self._form).encode(),
            {
                "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            connect_seconds=CONNECT_SECONDS,
            seconds=ANSWER_SECONDS,
        )
        body = _object(answer.body)
        token = body.get("access_token")
        if not answer.is_success or not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ReceiverError(f"no access token: {answer.phrase}{_error_code(body)}")
        self._token, self._valid_until = token, asked_at + _lifetime(body.get("expires_in"))


def read_secret(file: Path) -> str:
    """Return the only line of a credential file.

    Raises SettingsError if the file cannot be read, can be read by everyone, or does not contain
    one line of ASCII text.
    """
    try:
        text = file.read_text(encoding="utf-8").strip()
        mode = file.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(
            f"The credential file {file} cannot be read ({reason}).",
            hint="Create the file for the user that fundusd runs as, with mode 0400.",
        ) from None
    if mode & stat.S_IROTH:
        raise SettingsError(
            f"The credential file {file} can be read by every user.",
            hint=f"Let only the user that fundusd runs as read it: {closing(file)}",
        )
    if not text.isascii() or not text.isprintable() or not text:
        raise SettingsError(
            f"The credential file {file} does not contain one line of ASCII text.",
            hint="Write only the secret into it.",
        )
    return text


def _secret(file: Path) -> str:
    """Return the secret in a file; raise ReceiverError if it cannot be used at present."""
    try:
        return read_secret(file)
    except SettingsError as error:
        raise ReceiverError(error.message) from None


def _object(body: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _error_code(body: dict[str, object]) -> str:
    code = body.get("error")
    return f", {code}" if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""


def _lifetime(expires_in: object) -> float:
    """Return for how many seconds a token is used, given how many it is valid.

    >>> _lifetime(3600), _lifetime(40), _lifetime(None), _lifetime(-1)
    (3570.0, 20.0, 270.0, 0.0)
    """
    seconds = _DEFAULT_SECONDS
    if isinstance(expires_in, int | float):
        seconds = min(max(0.0, float(expires_in)), _MAX_SECONDS)
    return max(seconds - _MARGIN_SECONDS, seconds / 2)
