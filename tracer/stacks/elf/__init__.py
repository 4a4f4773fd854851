"""ELF files: segments, unwind rules, names and source lines, through elfutils."""
