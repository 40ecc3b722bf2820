"""Pages, plots, terminal tables and their wording."""
