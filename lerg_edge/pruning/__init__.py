"""What becomes of the entities that stay and of those that do not."""
