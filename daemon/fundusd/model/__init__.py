"""Find, prepare, verify and run the model; the only importer of torch."""
