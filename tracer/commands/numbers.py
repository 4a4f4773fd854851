"""Numbers as options take them. Their names are what messages say: "'32MB' is not a valid whole number"."""

from __future__ import annotations

import click


class Whole(click.IntRange):
    """A whole number from a range, as click's own, which calls itself an integer range."""

    name = "whole number"


class Number(click.FloatRange):
    """A number from a range."""

    name = "number"
