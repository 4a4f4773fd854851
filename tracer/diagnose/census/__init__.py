"""The census: the connections that exist now, counted, and what their states mean on this host."""
