"""The switch for telemetry."""

from __future__ import annotations


class TelemetryConfiguration:
    """Whether telemetry is written; subclasses act on a change."""

    def __init__(self, enabled: bool = False) -> None:
        self._enabled = bool(enabled)

    @property
    def is_enabled(self) -> bool:
        """True if telemetry is on."""
        return self._enabled

    def enable(self) -> None:
        """Switch telemetry on."""
        self._enabled = True
        self._on_enable()

    def disable(self) -> None:
        """Switch telemetry off."""
        self._enabled = False
        self._on_disable()

    def _on_enable(self) -> None:
        """Called after telemetry was switched on."""

    def _on_disable(self) -> None:
        """Called after telemetry was switched off."""
