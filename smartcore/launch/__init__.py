"""The engine: from descriptions to running processes and back to what is known about them."""
