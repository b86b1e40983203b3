"""A tool in a folder of its own: looked at, tried, put there and taken away."""
