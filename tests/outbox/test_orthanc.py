"""Orthanc, an archive that clinics use, takes the reports by C-STORE and by STOW-RS."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from tests.outbox import document_cases as cases
from tests.outbox import receiver_cases
from tests.outbox.test_structured_report import DOCUMENTS
from urllib3.util import Retry

from fundusd.outbox.dicom_receivers import DicomNode
from fundusd.outbox.stow_receiver import StowServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin")
DICOMWEB = [*Path("/usr/lib/orthanc").glob("libOrthancDicomWeb.so*")]
SECONDS = 30
KINDS = ("graded", "overridden", "amended", "several", "unread_again", "undecided")

pytestmark = pytest.mark.skipif(
    not (ORTHANC and DICOMWEB), reason="needs Debian's orthanc and orthanc-dicomweb"
)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Run Orthanc on free ports; yield its settings."""
    folder = tmp_path_factory.mktemp("orthanc")
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "DicomAet": "ORTHANC",
        "DicomPort": receiver_cases.free_port(),
        "HttpPort": receiver_cases.free_port(),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "Plugins": [str(DICOMWEB[0])],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(ORTHANC), str(path)], stdout=log, stderr=log)
        try:
            wait_for(settings)
            yield settings
        finally:
            process.terminate()
            process.wait(SECONDS)


def wait_for(settings: dict[str, Any]) -> None:
    """Return when Orthanc answers; the pauses between the attempts double up to a second."""
    with requests.Session() as session:
        retries = Retry(connect=SECONDS, backoff_factor=0.05, backoff_max=1)
        session.mount("http://", HTTPAdapter(max_retries=retries))
        session.get(f"{web(settings)}/system", timeout=1).raise_for_status()


def web(settings: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{settings['HttpPort']}"


def stored(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the tags of every instance that Orthanc keeps, by SOP Instance UID."""
    kept = {}
    for number in requests.get(f"{web(settings)}/instances", timeout=5).json():
        url = f"{web(settings)}/instances/{number}/simplified-tags"
        tags = requests.get(url, timeout=5).json()
        kept[tags["SOPInstanceUID"]] = tags
    return kept


@pytest.mark.parametrize("way", ["c-store", "stow"])
def test_orthanc_takes_reports_of_every_kind_and_their_repetition(
    orthanc: dict[str, Any], way: str
) -> None:
    node = DicomNode("ORTHANC", "127.0.0.1", orthanc["DicomPort"])
    server = StowServer(f"{web(orthanc)}/dicom-web")
    receiver = node if way == "c-store" else server
    for number in requests.get(f"{web(orthanc)}/instances", timeout=5).json():
        requests.delete(f"{web(orthanc)}/instances/{number}", timeout=5)
    for name in KINDS:
        for _ in range(2):
            assert receiver.send(DOCUMENTS[name]).startswith(("C-STORE 0x0000", "200 OK"))

    kept = stored(orthanc)
    assert kept.keys() == {DOCUMENTS[name].name.removesuffix(".dcm") for name in KINDS}
    amended = kept[DOCUMENTS["amended"].name.removesuffix(".dcm")]
    assert amended["PatientID"] == cases.PATIENT
    assert amended["PredecessorDocumentsSequence"]
