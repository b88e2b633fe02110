"""Bundles as the exporter fills, measures, inspects and verifies them."""
