"""smartcore."""
