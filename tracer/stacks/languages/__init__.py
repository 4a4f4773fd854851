"""One folder for each language or runtime. See tracer/stacks/language.py for what such a folder offers."""
