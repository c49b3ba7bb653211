"""Batch jobs of every workload manager that is spoken to by commands.

Reading order: :mod:`~.ids` (what an id holds), :mod:`~.script` (what is submitted), :mod:`~.record`
(what a job leaves), :mod:`~.evidence` (what it all means), :mod:`~.ceiling` (what a site allows),
then what touches the world: :mod:`~.limiter`, :mod:`~.commands`, :mod:`~.submit`,
:mod:`~.queries`, :mod:`~.following` (what is asked about, and decided), and :mod:`~.launcher`.
"""

from smartcore.launch.batch.ceiling import Ceiling, configured
from smartcore.launch.batch.commands import World
from smartcore.launch.batch.launcher import BatchLauncher, Place, batch_service

__all__ = ["BatchLauncher", "Ceiling", "Place", "World", "batch_service", "configured"]
