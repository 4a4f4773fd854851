"""Rust: names and the standard library."""
