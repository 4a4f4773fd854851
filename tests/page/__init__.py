"""The HTML page, opened in Chromium."""
