"""The errors of smartcore: one root, so that one ``except`` catches them all.

::

    SmartcoreError
    ├── InputError (ValueError)               a value that cannot be used
    │   ├── EntityExistsError                 two entities with one name
    │   ├── UserStrategyError                 a permutation strategy that returned nonsense
    │   ├── ReservedKeywordError              an argument that smartcore sets itself
    │   └── DatabaseIdConflictError           two databases with one identifier
    ├── InputTypeError (TypeError)            a value of the wrong type
    ├── PathNotFoundError (FileNotFoundError) a file, directory or executable is not there
    ├── PathExistsError (FileExistsError)     something in the way, not to be overwritten
    ├── ParameterWriterError                  a tagged file cannot be read, filled or written
    ├── UnsupportedError                      asked for something that cannot be had here
    │   └── PreviewFormatError
    ├── PluginError                           a plugin cannot be used
    │   ├── PluginMissingError (ImportError)  it is not installed
    │   ├── PluginBrokenError                 it failed to load or to register
    │   ├── PluginConflictError               two distributions provide the same name
    │   └── PluginVersionError                made for another version of smartcore
    ├── DatabaseError                         a database did not start, answer or stop
    │   └── DatabaseFileError                 its checkpoint file cannot be read
    ├── StepFailedError                       a model failed, and an error was asked for
    ├── WaitTimeoutError (TimeoutError)       something did not end in the time given
    └── InternalError                         something failed on our side of the interface
        ├── ConfigError                       a setting of site, user or environment is wrong
        ├── LauncherError                     the launcher failed
        │   ├── LauncherUnsupportedFeature
        │   ├── AllocationError
        │   └── ShellError                    a command failed or did not answer in time
        └── TelemetryError
            └── UnproxyableStepError

Errors that Python has a name for are that too: an ``InputError`` is a ``ValueError``. The names
that users of SmartSim know are aliases at the end of this module.
"""

from __future__ import annotations

from collections.abc import Sequence


class SmartcoreError(Exception):
    """Root of every error that smartcore raises."""


class InputError(SmartcoreError, ValueError):
    """A value that cannot be used; the message names it and says what can."""


class EntityExistsError(InputError):
    """An entity of that name is already there."""


class UserStrategyError(InputError):
    """A permutation strategy is unknown, or returned something other than a list of
    dictionaries.
    """


class ReservedKeywordError(InputError):
    """An argument that smartcore sets itself."""


class DatabaseIdConflictError(InputError):
    """Two databases that a model would see have the same identifier."""


class InputTypeError(SmartcoreError, TypeError):
    """A value of the wrong type."""


class PathNotFoundError(SmartcoreError, FileNotFoundError):
    """A file, directory or executable is not there."""


class PathExistsError(SmartcoreError, FileExistsError):
    """Something is in the way and was not to be overwritten."""


class ParameterWriterError(SmartcoreError):
    """A tagged input file cannot be read, filled or written."""


class UnsupportedError(SmartcoreError):
    """What was asked for cannot be had with this launcher, database or version."""


class PreviewFormatError(UnsupportedError):
    """The preview has no such output format."""


class PluginError(SmartcoreError):
    """A plugin cannot be used."""


class PluginMissingError(PluginError, ImportError):
    """No installed plugin provides it; the message gives the distribution to install where
    known.
    """


class PluginBrokenError(PluginError):
    """A plugin failed to load or to register; the cause is chained."""


class PluginConflictError(PluginError):
    """Two installed distributions provide the same name."""


class PluginVersionError(PluginError):
    """A plugin requires another version of smartcore."""


class DatabaseError(SmartcoreError):
    """A database did not start, answer, accept a setting, or stop."""


class DatabaseFileError(DatabaseError):
    """The file that describes a running database is missing, torn, or of a newer version."""


class StepFailedError(SmartcoreError):
    """Models failed, and the caller asked for an error (``raise_on_failure=True``)."""


class WaitTimeoutError(SmartcoreError, TimeoutError):
    """What was waited for did not end in the time given."""


class InternalError(SmartcoreError):
    """Something failed on smartcore's side of the interface."""


class ConfigError(InternalError):
    """A setting of the site, the user or the environment is wrong."""


class LauncherError(InternalError):
    """A launcher failed."""


class LauncherUnsupportedFeature(LauncherError):
    """The launcher has no such feature."""


class AllocationError(LauncherError):
    """There is no allocation, or it could not be had."""


class ShellError(LauncherError):
    """A command failed, or did not answer in the time given.

    :param message: what went wrong, with the command's own words
    :param command: the argv that was run
    :param details: further text, e.g. the whole of stderr
    """

    def __init__(self, message: str, command: Sequence[str] = (), details: str = "") -> None:
        super().__init__(message)
        self.command = tuple(command)
        self.details = details


class TelemetryError(InternalError):
    """Telemetry cannot be written."""


class UnproxyableStepError(TelemetryError):
    """A step that telemetry cannot follow."""


# The names that users of SmartSim know.
SmartSimError = SmartcoreError
SmartSimCLIActionCancelled = SmartcoreError
SSUnsupportedError = UnsupportedError
SSInternalError = InternalError
SSConfigError = ConfigError
SSReservedKeywordError = ReservedKeywordError
SSDBIDConflictError = DatabaseIdConflictError
SSDBFilesNotParseable = DatabaseFileError

__all__ = [
    name
    for name, value in globals().items()
    if isinstance(value, type) and issubclass(value, SmartcoreError)
]
