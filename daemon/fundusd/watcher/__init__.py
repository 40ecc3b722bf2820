"""Watch the inboxes of cameras and admit settled files."""
