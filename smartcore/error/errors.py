"""The import path ``smartcore.error.errors``, as SmartSim's users know it."""

from smartcore.error import *  # noqa: F403
