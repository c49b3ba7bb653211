"""Identifiers, opaque to everyone but the plugin that made them."""

from __future__ import annotations

from typing import NewType

JobId = NewType("JobId", str)
"""One launched step or job, as its launcher spells it. Never parsed or compared for order by the
core.
"""

Tag = NewType("Tag", str)
"""Unique name that smartcore gives a launch before it is done: ``<entity>-<base 36 of the
time>``.
"""
