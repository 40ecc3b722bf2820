"""Reading untrusted camera files safely, and files that ship with fundusd."""
