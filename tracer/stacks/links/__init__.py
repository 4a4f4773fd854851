"""The links of the chain for compiled code: with unwind tables, and without."""
