"""Untrusted bytes to verified RGB and capture metadata, decoded in another process."""
