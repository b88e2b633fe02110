"""Interactions: reading, holding, splitting and generating them."""
