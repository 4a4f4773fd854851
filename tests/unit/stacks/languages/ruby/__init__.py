"""Ruby's frames from hand-made memory."""
