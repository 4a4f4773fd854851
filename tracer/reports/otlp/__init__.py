"""Figures and events to an OpenTelemetry collector, by the official SDK (the extra ``closetrace[otlp]``)."""
