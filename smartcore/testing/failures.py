"""The classes of failure that launchers of this kind are known for; every case names its own."""

from __future__ import annotations

from typing import Final

FAILURES: Final = {
    "F01": "a query fails for a moment, and jobs are called finished or failed",
    "F02": "the thread that asks dies of an exception, and everything hangs",
    "F03": "a job vanishes from the queue before it was seen to end",
    "F04": "a query fails because one id of many is unknown",
    "F05": "accounting is off or cannot be reached",
    "F06": "accounting lags behind the queue",
    "F07": "a query with many ids is slow or hangs",
    "F08": "questions overload the server",
    "F09": "stopping many jobs floods the server or times out",
    "F10": "starting many jobs floods the server",
    "F11": "submitting reports a failure, but the job exists",
    "F12": "submitting prints further text, and the job's id is misread",
    "F13": "ids come in forms that were not thought of",
    "F14": "the wrong cluster is asked",
    "F15": "the user's environment changes what commands print",
    "F16": "a column is cut off, and the state misread",
    "F17": "a new state or an unknown reason is met with a crash",
    "F18": "a preempted or requeued job counts as failed, or twice",
    "F19": "the end of the walltime is reported as success",
    "F20": "a failure is left unexplained",
    "F21": "records or output are not there yet, and the job is called failed",
    "F22": "the job ends between two looks, and the end is missed",
    "F23": "orphans stay, or processes of others are killed",
    "F24": "signal handlers are stolen, or work on the main thread only",
    "F25": "arguments and variables are changed by quoting",
    "F26": "variables of the surrounding job leak into a new one",
    "F27": "the meaning of an option depends on the version",
    "F28": "an answer is malformed, wrapped or empty",
    "F29": "another dialect of the same commands is installed",
    "F30": "directives are silently ignored",
    "F31": "accounting is corrupt, or a job is stuck in an error state",
    "F32": "what can never be submitted is tried for ever",
    "F33": "a job waits for ever for a reason that cannot pass",
    "F34": "limits of a login node are hit",
    "F35": "a wrong or missing directory makes a job die silently",
    "F36": "a port or a server of an earlier run is taken for ours",
    "F37": "a program that prints much blocks for ever",
    "F38": "threads or descriptors leak",
    "F39": "something ends without ever having been ready",
    "F40": "one failure takes the others along, or leaves them unattended",
}
"""Number of the class -> what goes wrong."""
