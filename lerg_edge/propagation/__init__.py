"""The interaction graph, and LightGCN's propagation over it."""
