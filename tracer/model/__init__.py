"""Values that flow from the recorder to the report. Nothing here knows a kernel, a file or a terminal."""
