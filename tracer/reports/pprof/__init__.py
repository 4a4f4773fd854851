"""Sockets by stack as a profile for `go tool pprof`, Pyroscope and Parca (github.com/google/pprof, profile.proto)."""
