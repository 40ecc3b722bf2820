"""The ledger: jobs, results and the audit trail, stored in SQLite or PostgreSQL."""

from fundusd.ledger.image_files import Source
from fundusd.ledger.jobs import Claim, Place
from fundusd.ledger.ledger import Ledger
from fundusd.ledger.queries import Account
from fundusd.ledger.recorded import Recorded
from fundusd.ledger.results import Finding
from fundusd.ledger.view_queries import ViewQuery

__all__ = [
    "Account",
    "Claim",
    "Finding",
    "Ledger",
    "Place",
    "Recorded",
    "Source",
    "ViewQuery",
]
