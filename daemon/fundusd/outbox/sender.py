"""The site that sends documents: its name, and how it names its patients and studies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.delivery import Site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.ledger.document_content import DocumentContent

_PATIENT_ID, _PATIENT_KEY = "urn:x-fundusd:patient-id", "urn:x-fundusd:patient-key"


@dataclass(frozen=True, slots=True)
class Sender:
    """A site as the sender of documents.

    `issuers` maps the issuers of patient identifiers to the URIs of their identifier systems, and
    `readers` the ids of readers to their names.
    """

    site: Site = field(default_factory=Site)
    issuers: Mapping[str, str] = field(default_factory=dict)
    identifiers: Identifiers = field(default_factory=Identifiers)
    readers: Mapping[str, str] = field(default_factory=dict)

    def released(self, content: DocumentContent) -> DocumentContent:
        """Return the content of documents with the identifiers and names that the site sends."""
        content = replace(content, exam=content.exam.with_reader_names(self.readers))
        if self.identifiers.are_clear:
            return content
        study_uid = content.exam.study_uid
        if study_uid is not None:
            study_uid = self.identifiers.uid(study_uid)
        exam = replace(content.exam, patient_id=None, study_uid=study_uid)
        return replace(content, exam=exam, issuer=None, accession_numbers=())

    def patient(self, content: DocumentContent) -> tuple[str, str] | None:
        """Return the system and the value of the patient's identifier, or None without one.

        If the issuer of the identifier is not known, they are those of the pseudonym.
        """
        if content.exam.patient_id is not None and content.is_issuer_known:
            return self._system(content.issuer), content.exam.patient_id
        if content.exam.patient_key is not None:
            return _PATIENT_KEY, content.exam.patient_key
        return None

    def _system(self, issuer: str | None) -> str:
        """Return the URI of an issuer's identifiers, so that equal numbers of two issuers differ.

        >>> Sender(issuers={"CLINIC": "https://clinic.example/ids"})._system("CLINIC")
        'https://clinic.example/ids'
        >>> Sender()._system("St. Mary's"), Sender()._system(None)
        ('urn:x-fundusd:patient-id:St.%20Mary%27s', 'urn:x-fundusd:patient-id')
        """
        issuer = issuer or self.identifiers.issuer
        if not issuer:
            return _PATIENT_ID
        known = self.issuers.get(issuer)
        return known or f"{_PATIENT_ID}:{quote(issuer, safe='', errors='replace')}"
