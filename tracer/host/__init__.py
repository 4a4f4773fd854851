"""What this host says without BPF: /proc, sock_diag, namespaces, cgroups, settings. No other package reads them."""
