"""Load a pinned checkpoint and classify; the only importer of torch and transformers."""
