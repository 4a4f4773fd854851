"""Pure logic, with fakes or recordings in the place of the kernel and of processes."""
