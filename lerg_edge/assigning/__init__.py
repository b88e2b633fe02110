"""Ways to assign codes to entities."""
