"""The links of the chain for compiled code: by unwind tables, and without them."""
