"""Jobs, results and audit: the only truth, in SQLite or PostgreSQL."""

from fundusd.ledger.image_files import Source
from fundusd.ledger.jobs import Claim, Place, Recorded
from fundusd.ledger.ledger import Ledger
from fundusd.ledger.queries import Account, Wanted
from fundusd.ledger.results import Finding
from fundusd.ledger.view_queries import Question

__all__ = [
    "Account",
    "Claim",
    "Finding",
    "Ledger",
    "Place",
    "Question",
    "Recorded",
    "Source",
    "Wanted",
]
