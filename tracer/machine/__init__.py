"""Everything that depends on the machine: registers, system call numbers, decoder, C macros. Only x86-64 today."""
