"""The code that runs on the machines: Python 3.9 or later, the standard library and this package only."""
