"""The bases of all settings."""

from smartcore.spec.settings import BatchSettings, RunSettings, SettingsBase

__all__ = ["BatchSettings", "RunSettings", "SettingsBase"]
