"""V8's heap in bytes made here, and what is read from it."""
