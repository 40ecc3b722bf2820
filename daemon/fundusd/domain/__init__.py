"""Terms, errors and policies that every other package uses."""
