"""The codebook: how entities' rows come from it, and how its elements are quantised."""
