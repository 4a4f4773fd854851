"""A report as figures for systems that watch hosts: metrics with labels, and what is new. Each exporter sends these."""
