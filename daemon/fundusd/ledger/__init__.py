"""Jobs, results and audit: the only truth, in SQLite or PostgreSQL."""

from fundusd.ledger.asking import Question
from fundusd.ledger.facade import Ledger
from fundusd.ledger.jobs import Claim, Place, Recorded
from fundusd.ledger.queries import Account, Wanted
from fundusd.ledger.results import Finding
from fundusd.ledger.sources import Source

__all__ = ["Account", "Claim", "Finding", "Ledger", "Place", "Question", "Recorded", "Source", "Wanted"]
