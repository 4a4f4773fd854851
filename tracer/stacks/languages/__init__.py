"""One folder for each language or runtime. tracer/stacks/language.py tells what it offers, registry.py lists it."""
