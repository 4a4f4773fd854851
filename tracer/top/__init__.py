"""``closetrace top``: leak sites on a live screen (the extra ``closetrace[top]``)."""
