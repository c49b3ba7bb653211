"""The one error of these programs: what is wrong and the next step, shown without a traceback."""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster cannot be brought up, used or taken down."""
