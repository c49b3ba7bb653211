"""A run command that does what it should, and some that are broken in one way each."""

from __future__ import annotations

from smartcore.spec import LocalRank
from smartcore_mpi.command import MpiCommand


class SoundRunCommand(MpiCommand):
    pass


class CountsNothing(MpiCommand):
    local_ranks = (LocalRank("RANK"),)


class CountsTwice(MpiCommand):
    local_ranks = (LocalRank("RANK", "SIZE", "LIST"),)


class NamesNoVariable(MpiCommand):
    local_ranks = (LocalRank("$RANK", "SIZE"),)


class NamesNoRank(MpiCommand):
    rank_variables = ("$RANK",)
