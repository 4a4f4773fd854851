"""The tests, by what they need: see README.md."""
