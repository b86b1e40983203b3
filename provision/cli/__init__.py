"""The door for a shell."""
