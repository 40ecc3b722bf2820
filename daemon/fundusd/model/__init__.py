"""Find, prepare, verify and run the model; no other package imports torch."""
