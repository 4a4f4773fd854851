"""Settings that all unit tests share."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no failure: what is asserted is what comes out, not how long one example took.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
