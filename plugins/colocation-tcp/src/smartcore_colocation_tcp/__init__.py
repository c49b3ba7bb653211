"""A database next to the application, reached by TCP."""
