"""What runs on the machines: the standard library alone, on Python 3.9 and later, and it imports itself alone."""
