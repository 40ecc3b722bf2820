"""Documents for other systems and their delivery."""
