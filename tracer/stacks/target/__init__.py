"""The traced process: its identity, maps, files and memory."""
