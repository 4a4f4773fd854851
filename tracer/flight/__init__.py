"""What the kernel side recorded: its maps read, its records decoded."""
