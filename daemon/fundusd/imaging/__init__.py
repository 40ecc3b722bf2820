"""From the bytes of a capture to pixels for the model."""
