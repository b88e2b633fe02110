"""Training a model on the full graph."""
