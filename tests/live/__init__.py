"""Tests of the command with real BPF programs on this machine's kernel."""
