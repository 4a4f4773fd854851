"""C++: names and the standard library."""
