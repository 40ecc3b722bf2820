from __future__ import annotations

import dataclasses
import itertools
import os
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from fundusd.app import (
    camera_settings,
    factory,
    settings,
    settings_clinic,
    settings_file,
    settings_service,
    site_key,
)
from fundusd.clinical.quality_thresholds import Thresholds
from fundusd.domain.decoding import Preprocessing
from fundusd.domain.errors import SettingsError
from fundusd.domain.files import Inbox
from fundusd.files import package_data
from fundusd.watcher.rules import IntakeRules

SHIPPED = package_data.folder("config") / "fundusd.toml"


def looked_up(database: str, query: str) -> str:
    return (
        f'[[camera]]\nid="a"\ninbox="/in"\n[camera.lookup]\ndatabase="{database}"\nquery="{query}"'
    )


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "fundusd.toml"
    path.write_text(text)
    return path


def keys(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def test_the_shipped_file_loads_and_holds_every_key_with_its_default() -> None:
    shipped = tomllib.loads(SHIPPED.read_text())
    assert set(shipped) == keys(settings.Settings) - {"receiver", "reader", "recall"}
    offered = tomllib.loads("\n".join(re.findall(r"^#(\S.*)$", SHIPPED.read_text(), re.MULTILINE)))
    assert set(offered["receiver"][0]) == keys(settings.ReceiverSettings)
    assert set(offered["reader"][0]) == keys(settings_clinic.ReaderSettings)
    assert set(offered["recall"]) == keys(settings_clinic.RecallSettings)
    assert set(offered["privacy"]["issuers"]) == {"CLINIC&1.2.3&ISO", ""}
    assert set(shipped["site"]) == keys(settings_clinic.SiteSettings)
    assert set(shipped["reading"]) == keys(settings_clinic.ReadingSettings)
    assert set(shipped["outbox"]) == keys(settings.OutboxSettings)
    assert set(shipped["store"]) == keys(settings_service.StoreSettings)
    assert set(shipped["model"]) == keys(settings_service.ModelSettings)
    assert set(shipped["intake"]) == keys(settings_service.IntakeSettings)
    assert set(shipped["decode"]) == keys(settings_service.DecodeSettings)
    assert set(shipped["privacy"]) == keys(settings.PrivacySettings) - {"issuers"}
    assert set(shipped["log"]) == keys(settings_service.LogSettings)
    assert set(shipped["camera"][0]) == keys(camera_settings.CameraSettings)
    assert set(shipped["camera"][0]["lookup"]) == keys(camera_settings.LookupSettings)
    assert set(shipped["camera"][0]["quality"]) == keys(camera_settings.QualitySettings)
    loaded = settings_file.load(SHIPPED)
    assert loaded.camera[0].own_database is None
    assert loaded.camera[0].quality == camera_settings.QualitySettings()
    assert loaded.model_copy(update={"camera": ()}) == settings.Settings()


def test_every_key_of_the_shipped_file_is_commented() -> None:
    lines = SHIPPED.read_text().splitlines()
    for above, line in itertools.pairwise(lines):
        if re.match(r"#?\w+ = ", line):
            assert above.startswith(("# ", "[[camera]]")), line


RECEIVER = """
[[receiver]]
id = "one"
document = "{}"
{}
"""


@pytest.mark.parametrize(
    ("document", "way"),
    [
        ("sr", 'dicom = "ARCHIVE@pacs.example.org:104"'),
        ("sr", 'stow = "https://pacs.example.org/dicomweb/"'),
        ("sr", 'folder = "/srv/out"'),
        ("fhir", 'fhir = "http://10.0.0.1:8080/fhir"\ninsecure = true'),
        ("csv", 'folder = "/srv/out"\nwhen = "reviewed"'),
    ],
)
def test_a_receiver_has_one_way_that_takes_its_document(
    document: str, way: str, tmp_path: Path
) -> None:
    loaded = settings_file.load(written(tmp_path, RECEIVER.format(document, way)))

    [subscription] = loaded.subscriptions
    assert subscription.receiver == "one"
    assert subscription.document == document
    assert subscription.quiet_seconds == 60


@pytest.mark.parametrize(
    ("document", "way"),
    [
        ("sr", ""),
        ("sr", 'fhir = "https://x/y"'),
        ("csv", 'dicom = "A@b:1"'),
        ("fhir", 'folder = "/srv/out"\nfhir = "https://x/y"'),
        ("sr", 'dicom = "A@b"'),
        ("sr", 'dicom = "A B@c:1"'),
        ("fhir", 'fhir = "https://user:secret@x/y"'),
        ("fhir", 'fhir = "ftp://x"'),
        ("csv", 'folder = "out"'),
        ("pdf", 'folder = "/srv/out"'),
    ],
)
def test_any_other_receiver_is_refused(document: str, way: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_file.load(written(tmp_path, RECEIVER.format(document, way)))

    assert "receiver 1 (id one)" in caught.value.message
    assert "secret" not in caught.value.message


def test_receivers_differ_and_write_into_no_inbox(tmp_path: Path) -> None:
    camera = '[[camera]]\nid = "cam"\ninbox = "/srv"\n'
    receiver = RECEIVER.format("csv", 'folder = "/srv/out"')
    for text, message in ((camera + receiver, "inbox"), (receiver + receiver, "is used twice")):
        with pytest.raises(SettingsError, match=message):
            settings_file.load(written(tmp_path, text))


def test_all_mistakes_are_told_at_once_with_key_value_and_rule(tmp_path: Path) -> None:
    text = """
[store]
url = "mysql://x"
[model]
batch_size = "3"
revison = "x"
[intake]
quiet_seconds = -1
[[camera]]
id = "a b"
"""
    with pytest.raises(SettingsError) as caught:
        settings_file.load(written(tmp_path, text))
    for part in (
        "6 mistakes",
        "store.url = 'mysql://x': must begin with sqlite:////",
        "model.batch_size = '3': must be a whole number",
        "model.revison: there is no such key; did you mean revision?",
        "intake.quiet_seconds = -1: must be more than 0",
        "camera 1 (id a b), id = 'a b': must be at most 64 letters",
        "camera 1 (id a b), inbox: is missing",
    ):
        assert part in caught.value.message
    assert caught.value.exit_code == 78
    assert caught.value.hint.endswith(f"fundusd check --config {tmp_path}/fundusd.toml")
    explained = caught.value.hint.removeprefix("Every key is explained in ").partition(";")[0]
    assert Path(explained).is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[store]\nurl = "postgresql+psycopg://u:secret-word@h/d"', "must not contain a password"),
        ('[store]\nurl = "sqlite:///relative.db"', "absolute path"),
        ('[[camera]]\nid="a"\ninbox="/x"\n[[camera]]\nid="a"\ninbox="/y"', "a is used twice"),
        (
            '[[camera]]\nid="a"\ninbox="/x"\n[[camera]]\nid="b"\ninbox="/x/y"',
            "must not contain each other",
        ),
        (
            '[store]\nurl="sqlite:////x/f.db"\n[[camera]]\nid="a"\ninbox="/x"',
            "must not lie in the inbox",
        ),
        ('[[camera]]\nid="a"\ninbox="relative"', "must be an absolute path"),
        (
            '[[camera]]\nid="a"\ninbox="/x"\nlanguages=["es", "xx"]',
            'must be "ar".*"es"',
        ),
        (
            '[[camera]]\nid="a"\ninbox="/x"\nconvention="eyepax"',
            'must be "generic".*"eyepacs"',
        ),
        (
            '[[camera]]\nid="a"\ninbox="/x"\npattern="OD|OS"',
            "pattern = 'OD|OS': must have named groups",
        ),
        ('[[camera]]\nid="a"\ninbox="/x"\npattern="("', "pattern = .*is not a regular expression"),
        ('[[camera]]\nid="a"\ninbox="/x"\npattern="(?P<mrn>x)"', "no groups except patient"),
        ('[[camera]]\nid="a"\ninbox="/x"\npattern="((?P<eye>x)+)+"', "must not repeat a group"),
        (
            '[[camera]]\nid="a"\ninbox="/x"\nignore=["*"]',
            r"ignore.* = '\*': must not match every photograph",
        ),
        (
            '[[camera]]\nid="a"\ninbox="/x"\nignore=["a/", "/x/b"]',
            "must be relative to the inbox",
        ),
        (
            '[[camera]]\nid="a"\ninbox="/x"\nignore=["*.jpg", "*.dcm", "*.png", "*.tif"]',
            "together must not match every photograph",
        ),
        (
            '[[camera]]\nid="a"\ninbox="/x"\nignore=["P1/", "*/*.jpg", "*/*.[dpt]*"]',
            "together must not match every photograph",
        ),
        (
            '[[camera]]\nid="a"\ninbox="/x"\n[[camera]]\nid="b"\ninbox="/y/../x"',
            "inboxes must not contain each other: b lies inside a",
        ),
        (
            '[store]\nurl="sqlite:////y/../x/f.db"\n[[camera]]\nid="a"\ninbox="/x"',
            "the database must not lie in the inbox of camera a",
        ),
        (
            '[[camera]]\nid="a"\ninbox="/y/../x"\n[[receiver]]\nid="r"\ndocument="csv"\nfolder="/x/r"',
            "the folder of receiver r must not lie in an inbox",
        ),
        ('[[camera]]\nid="a"\ninbox="/x"\nignore="*.bmp"', "ignore = .*must be a list"),
        ('[privacy]\nidentifiers="hidden"', 'must be "clear" or "pseudonymous"'),
        (looked_up("/x/y.db", ""), "database and query go together"),
        (looked_up("", "SELECT eye FROM t WHERE f = :name"), "database and query go together"),
        (looked_up("y.db", "SELECT eye FROM t WHERE f = :name"), "must be an absolute path"),
        (looked_up("/x", "DELETE FROM t WHERE f = :name"), "query = .*must be a SELECT"),
        (looked_up("/x", "SELECT eye FROM t"), "must select the capture by one of :path, :name"),
        (looked_up("/x", "SELEC"), "must be a SELECT"),
        ("[store", "is not TOML"),
    ],
)
def test_a_mistake_is_explained_and_no_password_is_shown(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        settings_file.load(written(tmp_path, text))
    assert "secret-word" not in caught.value.message


def test_a_missing_file_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="There is no settings file") as caught:
        settings_file.load(tmp_path / "none.toml")
    assert "--config" in caught.value.hint


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fundusd.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        settings_file.load(path)


def test_the_option_comes_before_the_environment_and_that_before_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FUNDUSD_CONFIG", raising=False)
    assert settings_file.path_of(None) == settings_file.DEFAULT_FILE
    monkeypatch.setenv("FUNDUSD_CONFIG", "/from/environment")
    assert settings_file.path_of(None) == Path("/from/environment")
    assert settings_file.path_of(Path("/from/option")) == Path("/from/option")


def test_the_site_key_is_written_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = site_key.read_or_create(tmp_path / "site.key")
    assert len(key) == 64
    assert site_key.read_or_create(tmp_path / "site.key") == key
    assert (tmp_path / "site.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key", "mode", "message"),
    [
        (b"1234", 0o600, "holds fewer than 16 bytes"),
        (b"", 0o600, "holds fewer than 16 bytes"),
        (b"k" * 32, 0o600, "only repeats a few characters"),
        (b"\0" * 32, 0o600, "only repeats a few characters"),
        (b"abababababababababab", 0o600, "only repeats a few characters"),
        (b"change-me-change-me-please", 0o600, "is based on an example"),
        (b"0123456789abcdef0123456789abcdef", 0o600, "is based on an example"),
        (b"My Secret Key For fundusd", 0o600, "is based on an example"),
        (b"8d969eef6ecad3c29a3a629280e686cf", 0o604, "can be read by every user"),
    ],
)
def test_a_site_key_that_protects_nobody_is_refused(
    tmp_path: Path, key: bytes, mode: int, message: str
) -> None:
    path = tmp_path / "site.key"
    path.write_bytes(key)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=message) as caught:
        site_key.read_or_create(path)
    assert caught.value.hint
    assert not key or key.decode() not in caught.value.message


def test_a_site_key_of_ones_own_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    path.write_bytes(b"8d969eef6ecad3c29a3a629280e686cf\n")
    path.chmod(0o440)
    assert site_key.read_or_create(path) == b"8d969eef6ecad3c29a3a629280e686cf"


def test_an_unreachable_site_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        site_key.read_or_create(tmp_path / "none" / "key")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        site_key.read_or_create(tmp_path / "folder")


def test_the_password_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    assert (
        settings_service.StoreSettings(password_file=str(tmp_path / "password")).password()
        == "secret"
    )
    assert settings_service.StoreSettings().password() is None
    with pytest.raises(SettingsError, match="password_file cannot be read"):
        settings_service.StoreSettings(password_file=str(tmp_path / "none")).password()


@pytest.mark.parametrize(
    ("cores", "on_cpu", "beside_a_gpu"), [(1, 2, 1), (2, 2, 1), (8, 2, 7), (64, 2, 16)]
)
def test_the_number_of_decoders_follows_the_machine_and_the_model(
    cores: int, on_cpu: int, beside_a_gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    chosen = settings_service.DecodeSettings()
    assert factory.decoder_count(chosen, model_on_cpu=True, batch_size=16) == on_cpu
    assert factory.decoder_count(chosen, model_on_cpu=False, batch_size=16) == beside_a_gpu
    five = settings_service.DecodeSettings(processes=5)
    assert factory.decoder_count(five, model_on_cpu=True, batch_size=16) == 5


def test_a_camera_names_its_captures_by_convention_and_pattern(tmp_path: Path) -> None:
    camera = (
        "[[camera]]\nid = 'a'\ninbox = '/x'\nconvention = 'eyepacs'\n"
        "pattern = '(?P<patient>\\d+)/\\w+'"
    )
    (chosen,) = settings_file.load(written(tmp_path, camera)).camera
    assert chosen.naming.read("14/13_left.jpeg").warnings == ("patient_conflict",)


def test_a_camera_may_write_words_of_other_languages(tmp_path: Path) -> None:
    cameras = (
        "[[camera]]\nid = 'a'\ninbox = '/x'\nlanguages = ['es', 'de']\n"
        "[[camera]]\nid = 'b'\ninbox = '/y'"
    )
    with_words, without = settings_file.load(written(tmp_path, cameras)).camera
    for path in ("0736_OI_f_1.jpg", "12_links.jpg"):
        assert with_words.naming.read(path).eye == "L"
        assert without.naming.read(path).eye == "U"


def test_a_camera_passes_over_what_its_globs_match(tmp_path: Path) -> None:
    camera = "[[camera]]\nid = 'a'\ninbox = '/x'\nignore = ['test/', '*_report.jpg']"
    (chosen,) = settings_file.load(written(tmp_path, camera)).camera
    assert chosen.watched == Inbox("a", Path("/x"), ("test/", "*_report.jpg"))


def test_a_daemon_needs_a_camera() -> None:
    with pytest.raises(SettingsError, match=r"No \[\[camera\]\]"):
        settings.require_camera(settings.Settings())


def test_a_bad_revision_on_the_command_line_is_refused() -> None:
    with pytest.raises(SettingsError, match="--revision"):
        settings_file.of_model("google/medsiglip-448", "main")


def test_a_cameras_quality_table_is_its_own_and_bounded(tmp_path: Path) -> None:
    cameras = """
[[camera]]
id = "a"
inbox = "/a"
[camera.quality]
min_field = 0.7
max_luminance = {luminance}
[[camera]]
id = "b"
inbox = "/b"
"""
    first, second = settings_file.load(written(tmp_path, cameras.format(luminance=200))).camera
    assert first.thresholds == Thresholds(min_field=0.7, max_luminance=200)
    assert second.thresholds == Thresholds()
    with pytest.raises(SettingsError, match=r"camera 1 \(id a\), quality\.max_luminance = 300"):
        settings_file.load(written(tmp_path, cameras.format(luminance=300)))


@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "key",
    [field.name for field in dataclasses.fields(Thresholds) if field.name != "min_side_pixels"],
)
def test_a_threshold_that_is_not_a_finite_number_is_refused(
    tmp_path: Path, key: str, value: str
) -> None:
    text = f'[[camera]]\nid = "a"\ninbox = "/a"\n[camera.quality]\n{key} = {value}\n'
    mistake = rf"camera 1 \(id a\), quality\.{key} = -?(nan|inf): must be a finite number"
    with pytest.raises(SettingsError, match=mistake):
        settings_file.load(written(tmp_path, text))


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_delay_that_is_not_a_finite_number_is_refused(tmp_path: Path, value: str) -> None:
    text = f"[intake]\nretry_seconds = [10.0, {value}]\n"
    with pytest.raises(
        SettingsError, match=r"retry_seconds, item 2 = (nan|inf): .* a finite number"
    ):
        settings_file.load(written(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("smallest_side = 448", "min_side_pixels"),
        ("least_luminance = 25", "min_luminance"),
        ("most_luminance = 190", "max_luminance"),
        ("most_saturated = 0.35", "max_saturated"),
        ("least_field = 0.7", "min_field"),
        ("most_glare = 0.1", "max_glare"),
        ("least_sharpness = 0.75", "min_sharpness"),
        ("least_visibility = 0.08", "min_visibility"),
        ("most_haze = 0.5", "max_haze"),
    ],
)
def test_a_key_that_was_renamed_is_refused_with_its_new_name(
    tmp_path: Path, old: str, new: str
) -> None:
    text = f'[[camera]]\nid = "a"\ninbox = "/a"\n[camera.quality]\n{old}\n'
    with pytest.raises(SettingsError, match=f"is called {new} now"):
        settings_file.load(written(tmp_path, text))


def test_a_value_that_was_renamed_is_refused_with_its_new_name(tmp_path: Path) -> None:
    text = '[[receiver]]\nid = "a"\ndocument = "csv"\nfolder = "/a"\nwhen = "judged"\n'
    with pytest.raises(SettingsError, match='is called "resulted" now'):
        settings_file.load(written(tmp_path, text))


CAMERA = '[[camera]]\nid = "a"\ninbox = "/a"\n'


@pytest.mark.parametrize(
    ("keys", "protocol", "expected"),
    [
        ("", "any", ()),
        ('expected_fields = ["disc"]', "any", ("disc",)),
        ('fields = "one"', "one", ()),
        ('fields = "one"\nexpected_fields = ["macula"]', "one", ("macula",)),
        ('fields = "two"', "two", ("macula", "disc")),
        ('fields = "two"\nexpected_fields = []', "two", ("macula", "disc")),
        ('fields = "two"\nexpected_fields = ["disc", "macula"]', "two", ("macula", "disc")),
    ],
)
def test_a2_a_camera_says_which_fields_it_photographs(
    tmp_path: Path, keys: str, protocol: str, expected: tuple[str, ...]
) -> None:
    (camera,) = settings_file.load(written(tmp_path, CAMERA + keys)).camera
    assert (camera.fields, camera.all_expected_fields) == (protocol, expected)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ('fields = "one"\nexpected_fields = ["disc"]', "remove disc from expected_fields"),
        ('fields = "one"\nexpected_fields = ["macula", "disc"]', "remove disc"),
        ('fields = "two"\nexpected_fields = ["macula"]', "leave expected_fields empty"),
        ('fields = "three"', "fields"),
    ],
)
def test_a2_fields_that_contradict_each_other_are_refused(
    tmp_path: Path, keys: str, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        settings_file.load(written(tmp_path, CAMERA + keys))


def test_rules_take_the_keys_of_their_section_by_name() -> None:
    intake = settings_service.IntakeSettings(
        quiet_seconds=1, sweep_seconds=2, mode="native", backlog="baseline", grace_seconds=3
    )
    model = settings_service.ModelSettings(
        source="a", revision="b" * 40, weights_digest="c" * 64, device="cpu", dtype="float32",
        backend="openvino", exact=True, prompts="d", preprocessing=Preprocessing.CROP_DISC,
    )  # fmt: skip
    chosen = settings.Settings(intake=intake, model=model)
    assert factory.intake_rules(chosen) == IntakeRules(1, 2, "native", "baseline", 3)
    choice = factory.model_choice(chosen)
    keys_of_the_model = keys(settings_service.ModelSettings) - {
        "batch_size",
        "referable",
        "accept_unsafe_rule",
    }
    assert {field.name for field in dataclasses.fields(choice)} == keys_of_the_model
    for name in keys_of_the_model:
        assert getattr(choice, name) == getattr(model, name)
