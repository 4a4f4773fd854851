"""Runs the live tests in guests with Debian's kernels."""
