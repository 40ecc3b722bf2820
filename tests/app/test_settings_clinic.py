"""[site], [privacy.issuers], [reading], [[reader]] and [recall] in the settings file."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.app.test_settings import written

from fundusd.app import settings_file
from fundusd.app.open_ledger import opened_ledger
from fundusd.app.settings_rules import confirmed_share
from fundusd.domain.errors import SettingsError
from fundusd.domain.readings import ReaderPermission, ReadingPurpose
from fundusd.ledger import Ledger
from fundusd.ledger.tables import camera

if TYPE_CHECKING:
    from pathlib import Path

URI = "must be a URI without a password"
READER = '[[reader]]\nid = "{}"\nrole = "grader"\nmay = ["{}"]\n'


def test_a_site_has_a_name_an_identifier_and_a_contact(tmp_path: Path) -> None:
    text = (
        '[site]\nname = "Eye Clinic North"\nidentifier = "4711"\n'
        'identifier_system = "urn:oid:1.2.3"\ncontact = "+49 30 1234"\n'
    )
    site = settings_file.load(written(tmp_path, text)).site
    assert (site.name, site.identifier, site.contact) == ("Eye Clinic North", "4711", "+49 30 1234")
    assert site.identifier_system == "urn:oid:1.2.3"


def test_issuers_have_uris(tmp_path: Path) -> None:
    text = '[privacy.issuers]\n"CLINIC&1.2.3&ISO" = "urn:oid:1.2.3"\n"" = "https://x.org/pid"\n'
    issuers = settings_file.load(written(tmp_path, text)).privacy.issuers
    assert issuers == {"CLINIC&1.2.3&ISO": "urn:oid:1.2.3", "": "https://x.org/pid"}


@pytest.mark.parametrize(
    ("text", "share"),
    [("none", 0), ("all", 1), ("sample:10%", 0.1), ("sample:2.5%", 0.025), ("sample:99%", 0.99)],
)
def test_the_share_of_negatives_that_readers_confirm(
    text: str, share: float, tmp_path: Path
) -> None:
    file = written(tmp_path, f'[reading]\nconfirm_negatives = "{text}"\n')
    assert settings_file.load(file).reading.confirmed_share == pytest.approx(share)
    assert confirmed_share(text) == pytest.approx(share)


def test_readers_may_do_what_is_listed(tmp_path: Path) -> None:
    text = (
        '[[reader]]\nid = "okafor"\nname = "Dr A. Okafor"\nrole = "ophthalmologist"\n'
        'may = ["arbitration", "correct"]\n' + READER.format("lee", "routine")
    )
    first, second = settings_file.load(written(tmp_path, text)).reader
    assert first.may == ("arbitration", "correct")
    assert (first.name, second.name) == ("Dr A. Okafor", "")
    assert ReaderPermission.ARBITRATION in first.may
    assert ReaderPermission.ROUTINE in second.may


def test_a_permission_is_each_purpose_or_to_correct() -> None:
    assert [*ReaderPermission] == [*ReadingPurpose, "correct"]


def test_no_interval_is_set_by_default(tmp_path: Path) -> None:
    assert settings_file.load(written(tmp_path, "")).recall.grade_0 is None
    recall = settings_file.load(written(tmp_path, "[recall]\ngrade_0 = 24\n")).recall
    assert (recall.grade_0, recall.grade_1) == (24, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[site]\nidentifier = "4711"', "identifier and identifier_system go together"),
        (
            '[site]\nidentifier = "1"\nidentifier_system = "clinic"',
            URI,
        ),
        ('[site]\nname = "two\\nlines"', "must be one line"),
        ('[privacy.issuers]\n"CLINIC" = "clinic"', URI),
        (
            '[privacy.issuers]\n"CLINIC" = "https://user:word@x.org/"',
            URI,
        ),
        ('[privacy.issuers]\n"CLINIC" = ""', "must not be empty"),
        ('[reading]\nconfirm_negatives = "some"', 'must be "none", "all" or a sample'),
        ('[reading]\nconfirm_negatives = "sample:0%"', 'must be "none", "all" or a sample'),
        ('[reading]\nconfirm_negatives = "sample:100%"', 'must be "none", "all" or a sample'),
        ('[reading]\nconfirm_negatives = "sample:-1%"', 'must be "none", "all" or a sample'),
        ("[recall]\ngrade_0 = 0", "grade_0 = 0"),
        ("[recall]\ngrade_1 = 37", "grade_1 = 37"),
        ("[recall]\ngrade_2 = 12", "there is no such key"),
        (READER.format("a b", "routine"), "id = 'a b'"),
        (READER.format("a", "everything"), "may"),
        ('[[reader]]\nid = "a"\nrole = "grader"\nmay = []', "may"),
        ('[[reader]]\nid = "a"\nmay = ["routine"]', "role: is missing"),
        (READER.format("a", "routine") * 2, "reader ids must differ: a is used twice"),
    ],
)
def test_a_mistake_in_these_sections_is_explained(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        settings_file.load(written(tmp_path, text))


def test_the_share_is_stored_for_each_camera(tmp_path: Path, store_url: str) -> None:
    text = (
        f'[store]\nurl = "{store_url}"\n[privacy]\nsite_key_file = "{tmp_path}/key"\n'
        f'[[camera]]\nid = "cam"\ninbox = "{tmp_path}/inbox"\n'
        '[reading]\nconfirm_negatives = "sample:10%"\n'
    )
    settings = settings_file.load(written(tmp_path, text))
    with opened_ledger(settings, to_work=True) as ledger:
        ledger.create_if_empty()
        with ledger.held():
            ledger.start(cases.release())
        [row] = cases.rows(ledger, camera)
    assert row["confirmed_share"] == pytest.approx(0.1)


def test_without_a_setting_no_negative_is_confirmed(store_url: str) -> None:
    with closing(Ledger(store_url, site_key=cases.SITE_KEY, cameras=("cam",))) as ledger:
        ledger.create_if_empty()
        with ledger.held():
            ledger.start(cases.release())
        [row] = cases.rows(ledger, camera)
    assert row["confirmed_share"] == 0
