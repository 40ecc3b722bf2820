"""Claim jobs, decode, run the model and record results."""
