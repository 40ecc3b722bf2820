"""Read untrusted camera files safely, and find the folders that ship with fundusd."""
