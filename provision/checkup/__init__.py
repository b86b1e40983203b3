"""What speaks against this machine, found and told."""
