"""Build the daemon and its operator's tools from the settings."""
