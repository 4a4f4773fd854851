"""All that depends on the machine: registers, system call numbers, decoder, C macros. x86-64 today."""
