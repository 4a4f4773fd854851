"""What closetrace costs, beside its peers."""
