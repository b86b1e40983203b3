"""What shows images."""
