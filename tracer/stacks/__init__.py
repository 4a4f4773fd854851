"""Turns a black box into a stack. A chain of unwinders reads the copied stack and the process's files and memory."""
