"""Mutants of bundles: made, run in a process of their own, and sorted by what became of them."""
