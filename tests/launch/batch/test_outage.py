from __future__ import annotations

import logging

import pytest

from smartcore.launch.batch.outage import FIRST, Outage


def test_the_first_failure_is_told_and_then_rarely(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told, outage = caplog.records, Outage("x")
    for now in range(0, 86_400, 30):
        outage.failed("down", now, now + 5)
    assert (
        told[0].getMessage()
        == "x does not answer: down; what is known is 5.0 s old, and it is asked again"
    )
    assert 24 <= len(told) <= 32
    assert "what is known is" in told[-1].getMessage()


def test_an_end_is_told_once_and_only_of_what_was_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told, outage = caplog.records, Outage("x")
    outage.answered(0)
    outage.failed("down", 1, None)
    outage.answered(2)
    outage.answered(3)
    outage.failed("down", 4, 2)
    outage.answered(5)
    assert [one.levelno for one in told] == [logging.WARNING, logging.INFO]
    assert "nothing is known yet" in told[0].getMessage()


def test_an_outage_soon_after_a_long_one_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told, outage = caplog.records, Outage("x")
    for now in range(0, 7200, 60):
        outage.failed("down", now, now)
    outage.answered(7200)
    before = len(told)
    outage.failed("down", 7200 + FIRST, FIRST)
    assert len(told) == before + 1
