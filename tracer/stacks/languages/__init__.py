"""One folder for each language or runtime. tracer/stacks/language.py is their contract, registry.py lists them."""
