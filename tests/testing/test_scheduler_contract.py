"""The contract of schedulers on the reference plugin of the fake workload manager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from smartcore.testing import SchedulerContract


class TestFake(SchedulerContract):
    scheduler = "smartcore.testing.fakewlm.scheduler:FakeScheduler"
    refused: ClassVar[Mapping[str, str]] = {"queue": "no-such-queue"}
    refusals = ("connection refused", "try again later")
    habits: ClassVar[Mapping[str, str]] = {"FSTAT_FORMAT": "name", "FACCT_FORMAT": "id"}
