"""From the host's features to attached programs: features -> plan -> headers and source -> program."""
