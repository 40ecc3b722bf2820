"""`fundusd bench`: measure this machine, side by side with the reference, in one run."""
