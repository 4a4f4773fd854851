"""closetrace as a service: a session without end, which answers questions at a unix socket and publishes reports."""

SOCKET = "/run/closetrace/agent.sock"
CONFIG = "/etc/closetrace/agent.conf"
