"""Measures what closetrace costs, compared with other tracers (peers)."""
