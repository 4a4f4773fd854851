"""From a report to a stream: one folder for each format, and the words that all formats share."""
