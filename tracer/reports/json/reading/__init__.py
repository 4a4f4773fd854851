"""Reads recorded reports back: JSON that nobody vouches for in, the values that all formats print out."""
