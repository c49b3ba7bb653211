"""The version of the core, and of every plugin in this repository."""

__version__ = "0.1.0"
