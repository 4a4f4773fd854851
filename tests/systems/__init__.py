"""The incidents with real software, and Java stacks on Debian's JDKs."""
