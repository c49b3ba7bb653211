"""The journal: what each driver of an experiment launched, so that another process can take it up.

``<experiment>/.smartcore/journal/<host>-<pid>.jsonl``: one file for each writing process, which
holds a lock on it (flock(2)) as long as it lives; readers merge them. A line is one JSON object
with the version of the format (``v``), the time in seconds (``at``), the number of the driver
(``turn``: each counts one more than all before it, since clocks jump), and ``what`` happened::

    open      experiment, launcher, host, pid, born (start time: ticks after boot),
              adopts: true if it took up what earlier drivers left
    launch    runs: [{tag, name, kind, run_id, cwd, out, err, needs, bundle}], before it is done
    handed    tags of what the launcher is given together, before it is
    started   jobs: {tag: job}, places: {tag: [shares of nodes]} where the core planned
    ended     tag, status
    nodes     allocation, nodes: [{name, cpus, gpus, memory}] where the core plans
    database  identifier, checkpoint: of one that is about to be started
    uses      identifier, checkpoint: of one that another experiment started
    replaced  tags of shards that have ended, whose database serves again by others

A shell that ends runs is no driver and holds no lock; in ``<host>-<pid>.stops.jsonl`` it leaves::

    stopped   tags and names of what it is about to end

Lines are only appended, whole, in one write each; one that a full disk has torn is written again on
a line of its own. Neither arguments nor variables are in it, so nothing secret is.
"""

from smartcore.launch.journal.files import DIRECTORY
from smartcore.launch.journal.reading import read, read_stopped, read_stops, stopped_by_shell
from smartcore.launch.journal.writing import Journal, note_stopped

__all__ = [
    "DIRECTORY",
    "Journal",
    "note_stopped",
    "read",
    "read_stopped",
    "read_stops",
    "stopped_by_shell",
]
