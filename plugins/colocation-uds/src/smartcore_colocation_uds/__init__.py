"""A database next to the application, reached by a unix socket."""
