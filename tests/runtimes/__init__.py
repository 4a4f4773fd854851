"""What closetrace says of runtimes that it cannot read, and of those that write perf maps, with real ones."""
