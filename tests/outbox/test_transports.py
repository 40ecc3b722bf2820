"""The table of transports, and what follows from it: settings, receivers, the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fundusd.app import factory, settings
from fundusd.domain.delivery import DocumentKind
from fundusd.outbox.dicom_receivers import DicomNode
from fundusd.outbox.fhir_receiver import FhirServer
from fundusd.outbox.receivers import Folder, Receiver
from fundusd.outbox.stow_receiver import StowServer
from fundusd.outbox.transports import TRANSPORTS, carrying

PAGE = Path(__file__).parents[2] / "docs" / "documents.md"
EXAMPLES = {
    "folder": (Path("/srv/out"), Folder(Path("/srv/out"))),
    "dicom": ("ARCHIVE@pacs.example.org:104", DicomNode("ARCHIVE", "pacs.example.org", 104)),
    "stow": ("https://x/dicomweb", StowServer("https://x/dicomweb")),
    "fhir": ("https://x/fhir", FhirServer("https://x/fhir")),
}


def test_the_page_lists_every_transport_with_the_documents_that_it_carries() -> None:
    section = PAGE.read_text().partition("## Receivers")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", section, re.MULTILINE)

    assert listed == [
        (key, ", ".join(transport.documents)) for key, transport in TRANSPORTS.items()
    ]


def test_every_transport_is_a_key_of_the_settings_and_the_other_way_round() -> None:
    keys = set(settings.ReceiverSettings.model_fields) - {"id", "document", "when", "insecure"}
    transports = {key for key in keys if not key.startswith(("token_", "oauth_"))}

    assert transports == set(TRANSPORTS)


def test_every_document_has_a_transport() -> None:
    for document in DocumentKind:
        assert carrying(document)


@pytest.mark.parametrize("key", TRANSPORTS)
def test_a_section_makes_the_receiver_of_its_transport(key: str) -> None:
    address, receiver = EXAMPLES[key]
    document = TRANSPORTS[key].documents[0]
    section = settings.ReceiverSettings.model_validate(
        {"id": "a", "document": document, key: address}
    )

    made: Receiver = factory.receiver(section)

    assert made == receiver


@pytest.mark.parametrize("key", TRANSPORTS)
@pytest.mark.parametrize("document", DocumentKind)
def test_settings_accept_the_documents_of_the_table_and_no_others(
    key: str, document: DocumentKind
) -> None:
    section = {"id": "a", "document": document, key: EXAMPLES[key][0]}
    if document in TRANSPORTS[key].documents:
        settings.ReceiverSettings.model_validate(section)
        return
    allowed = re.escape(f"needs exactly one of: {', '.join(carrying(document))} (given: {key})")
    with pytest.raises(ValueError, match=allowed):
        settings.ReceiverSettings.model_validate(section)
