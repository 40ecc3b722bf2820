"""Turn the bytes of a capture into pixels for the model."""
