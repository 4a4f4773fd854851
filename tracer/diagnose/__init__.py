"""What the facts of a connection mean: verdicts, sites, explanations and advice. Values in, values out."""
