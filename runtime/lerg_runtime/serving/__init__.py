"""What serves: the tables of a snapshot, who may use them, and every question that a bundle answers."""
