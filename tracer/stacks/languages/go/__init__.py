"""Go: its own function table, names and the standard library."""
