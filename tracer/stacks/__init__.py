"""From a black box to a stack: a chain of unwinders over the copied stack and the process's files and memory."""
