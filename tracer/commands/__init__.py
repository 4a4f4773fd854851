"""One module for each subcommand: options in, a session and a writer out. No logic of their own."""
