"""What a person asks of machines: run, stop, status, remove, logs, and the result they get."""
