"""Folded propagation: entities' propagated rows as a few weighted codes."""
