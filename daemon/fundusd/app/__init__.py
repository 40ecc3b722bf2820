"""The daemon and the tools of its operator, built from the settings."""
