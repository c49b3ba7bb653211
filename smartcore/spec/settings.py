"""The bases of all settings, under one name."""

from .batch_settings import BatchSettings
from .run_settings import RunSettings, SettingsBase

__all__ = ["BatchSettings", "RunSettings", "SettingsBase"]
