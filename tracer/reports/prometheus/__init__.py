"""Figures as Prometheus text, by the official library (the extra ``closetrace[metrics]``)."""
