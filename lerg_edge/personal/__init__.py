"""Items alone: rows of items that serve anybody from a history, coded in few bytes."""
