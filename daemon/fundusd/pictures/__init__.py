"""Pictures for people: a visit on one page, one capture, and how figures move over the weeks."""
