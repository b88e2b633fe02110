"""What learns: triples, steps of an optimiser, and new weights from what happened here."""
