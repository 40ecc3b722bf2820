"""Watch a fundus camera's export folder, grade each capture, keep a ledger of the results."""

__version__ = "0.1.0"
