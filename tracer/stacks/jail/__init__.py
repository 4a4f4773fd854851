"""Stacks are walked in a process that may do nothing else: what a target's owner wrote is parsed there only."""
