"""What an export can be asked for by name, one registry a file."""
