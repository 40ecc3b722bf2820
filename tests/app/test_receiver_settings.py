"""Receivers in the settings: encryption and credentials."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests import daemon_cases

from fundusd.app import factory, settings_file
from fundusd.app.settings import Settings
from fundusd.cli import main
from fundusd.domain.errors import SettingsError
from fundusd.outbox.credentials import BearerToken, ClientCredentials

STOW = 'document = "sr"\nstow = "https://pacs.example.org/dicomweb"\n'
OAUTH = 'oauth_token_url = "https://login.example.org/token"\noauth_client_id = "fundusd"\n'
CLIENT_KEY = 'oauth_secret_file = "{}"\n'


def load(folder: Path, receiver: str) -> Settings:
    path = folder / "fundusd.toml"
    path.write_text(f'[[receiver]]\nid = "archive"\n{receiver}')
    return settings_file.load(path)


OPEN = [
    'document = "sr"\nstow = "http://pacs.example.org/dicomweb"',
    'document = "sr"\nstow = "http://localhost.example.org/dicomweb"',
    'document = "fhir"\nfhir = "http://10.0.0.1:8080/fhir"',
    'document = "fhir"\nfhir = "http://[fe80::1]:8080/fhir"',
    'document = "fhir"\nfhir = "http://0.0.0.0/fhir"',
    'document = "fhir"\nfhir = "http://127.0.0.1.example.org/fhir"',
    STOW + OAUTH.replace("https", "http") + CLIENT_KEY.format("/secret"),
]
LOCAL = [
    'document = "fhir"\nfhir = "http://localhost:8080/fhir"',
    'document = "fhir"\nfhir = "http://LOCALHOST/fhir"',
    'document = "fhir"\nfhir = "http://127.0.0.1:8080/fhir"',
    'document = "fhir"\nfhir = "http://127.9.9.9/fhir"',
    'document = "fhir"\nfhir = "http://[::1]:8080/fhir"',
    'document = "fhir"\nfhir = "https://fhir.example.org/r4"',
]


@pytest.mark.parametrize("receiver", OPEN)
def test_plain_http_to_another_host_is_refused(receiver: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, receiver)
    assert "receiver 1 (id archive)" in caught.value.message
    assert "insecure = true" in caught.value.message

    load(tmp_path, f"{receiver}\ninsecure = true")


@pytest.mark.parametrize("receiver", LOCAL)
def test_plain_http_to_this_host_and_https_are_accepted(receiver: str, tmp_path: Path) -> None:
    load(tmp_path, receiver)


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_service_and_check_refuse_it(
    command: str,
    sqlite_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = daemon_cases.site(tmp_path, sqlite_url)
    with place.path.open("a") as file:
        file.write(f'[[receiver]]\nid = "archive"\n{OPEN[0]}\n')
    monkeypatch.setattr("sys.argv", ["fundusd", command, "--config", str(place.path)])

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 78
    printed = capsys.readouterr()  # to the log, if an earlier test has configured it
    assert "unencrypted" in re.sub(r"\s+", " ", printed.out + printed.err)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (OAUTH, "belong together"),
        ('oauth_scope = "a"\n', "belong together"),
        (CLIENT_KEY.format("/secret"), "belong together"),
        ('token_file = "/t"\n' + OAUTH + CLIENT_KEY.format("/secret"), "not both"),
        ('token_file = "t"\n', "must be an absolute path"),
    ],
)
def test_credentials_that_do_not_fit_are_refused(keys: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        load(tmp_path, STOW + keys)


def test_credentials_are_only_for_web_servers(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="only for stow and fhir"):
        load(tmp_path, 'document = "csv"\nfolder = "/srv/out"\ntoken_file = "/t"\n')


def test_a_receiver_gets_its_credentials(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o400)
    for keys, kind in (
        (f'token_file = "{secret}"\n', BearerToken),
        (OAUTH + CLIENT_KEY.format(secret), ClientCredentials),
    ):
        [section] = load(tmp_path, STOW + keys).receiver
        made = factory.receiver(section)
        assert isinstance(getattr(made, "credentials", None), kind)


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (None, 0o400, "No such file"),
        (b"s3cret", 0o444, "can be read by every user"),
        (b"", 0o400, "one line of ASCII text"),
        (b"two\nlines", 0o400, "one line of ASCII text"),
        (b"\xff\xfe", 0o400, "it is not text"),
        ("schlüssel".encode(), 0o400, "one line of ASCII text"),
        (b"Bearer s3cret", 0o400, "bearer token"),
    ],
)
def test_a_credential_file_that_cannot_be_used_is_refused_without_its_content(
    content: bytes | None, mode: int, problem: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
        token.chmod(mode)
    [section] = load(tmp_path, f'{STOW}token_file = "{token}"\n').receiver

    with pytest.raises(SettingsError) as caught:
        factory.receiver(section)

    assert problem in caught.value.message
    assert caught.value.hint
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_check_reads_the_credentials(
    sqlite_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = daemon_cases.site(tmp_path, sqlite_url)
    with place.path.open("a") as file:
        file.write(f'[[receiver]]\nid = "archive"\n{STOW}token_file = "{tmp_path}/token"\n')
    monkeypatch.setattr("sys.argv", ["fundusd", "check", "--config", str(place.path)])

    with pytest.raises(SystemExit):
        main()

    assert "credentials of archive" in capsys.readouterr().out
