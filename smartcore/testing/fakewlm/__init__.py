"""A strict, scriptable workload manager for tests: ``fsub``, ``fstat``, ``facct`` and ``fdel``.

It takes jobs, runs their scripts as processes of this host, ends them at their limits, and goes
wrong on demand in the ways in which real ones do. :class:`~.cluster.FakeCluster` brings one up with
its programs on a ``PATH``; :class:`~.scheduler.FakeScheduler` is the plugin's part for it, written
as a plugin author would; :mod:`~.simulation` runs the same logic without processes, at scale.

Of this package, ``wlm``, ``faults``, ``programs``, ``client`` and ``server`` import the standard
library only: the programs start as ``python -I -S``.
"""
