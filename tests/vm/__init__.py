"""The live tests in guests that run Debian's kernels."""
