"""The table of all settings, and of the variables beside them."""

from __future__ import annotations

from typing import Final

from smartcore.config.setting import Kind, Setting, Stricter
from smartcore.log import DEFAULT_LEVEL, LEVELS

SETTINGS: Final = (
    Setting(
        "launcher",
        "SMARTCORE_LAUNCHER",
        Kind.TEXT,
        "",
        'what launcher="auto" takes; empty: the best that is detected',
    ),
    Setting(
        "max_running",
        "SMARTCORE_MAX_RUNNING",
        Kind.INTEGER,
        0,
        "models that run at the same time on one host; 0: from the number of cores",
        minimum=0,
    ),
    Setting(
        "stop_grace",
        "SMARTCORE_STOP_GRACE",
        Kind.NUMBER,
        5.0,
        "seconds between SIGTERM and SIGKILL when something is stopped",
        minimum=0,
    ),
    Setting(
        "log_level",
        "SMARTCORE_LOG_LEVEL",
        Kind.TEXT,
        DEFAULT_LEVEL,
        "which messages are shown",
        choices=tuple(LEVELS),
    ),
    Setting(
        "progress",
        "SMARTCORE_PROGRESS",
        Kind.TEXT,
        "auto",
        "live progress of a blocking start; auto: on a terminal and in a notebook",
        choices=("auto", "always", "never"),
    ),
    Setting(
        "disable_plugins",
        "SMARTCORE_DISABLE_PLUGINS",
        Kind.NAMES,
        (),
        "plugins to leave out; all: every one",
    ),
    Setting(
        "runtime_dir",
        "SMARTCORE_RUNTIME_DIR",
        Kind.TEXT,
        "",
        "directory for sockets; empty: below XDG_RUNTIME_DIR, else /tmp/smartcore-UID",
    ),
    Setting(
        "database.backend",
        "SMARTCORE_DB_BACKEND",
        Kind.TEXT,
        "redis",
        "kind of server of a database, as in: smartcore databases list",
    ),
    Setting(
        "database.interface",
        "SMARTCORE_DB_INTERFACE",
        Kind.TEXT,
        "",
        "network interface that databases listen on; empty: the launcher's choice",
    ),
    Setting(
        "database.allow_unauthenticated",
        "SMARTCORE_DB_ALLOW_UNAUTHENTICATED",
        Kind.FLAG,
        False,
        "let clients in that send no password, as SmartRedis clients do",
    ),
    Setting(
        "database.tls",
        "SMARTCORE_DB_TLS",
        Kind.FLAG,
        False,
        "encrypt connections to databases, but for colocated ones; SmartRedis clients cannot",
    ),
    Setting(
        "database.start_timeout",
        "SMARTCORE_DB_START_TIMEOUT",
        Kind.NUMBER,
        60.0,
        "seconds that a database may take until it answers",
        minimum=0,
    ),
    Setting(
        "database.answer_timeout",
        "SMARTCORE_DB_ANSWER_TIMEOUT",
        Kind.NUMBER,
        30.0,
        "seconds until a restart takes a shard that does not answer for hung, and ends it",
        minimum=0.1,
    ),
    Setting(
        "database.telemetry_interval",
        "SMARTCORE_DB_TELEMETRY_INTERVAL",
        Kind.NUMBER,
        5.0,
        "seconds between two samples of a database whose telemetry is enabled",
        minimum=0.1,
    ),
    Setting(
        "scheduler.queries_per_minute",
        "SMARTCORE_SCHEDULER_QUERIES_PER_MINUTE",
        Kind.NUMBER,
        0.0,
        "queries and cancels of one user on one host; 0: what the launcher's plugin allows",
        minimum=0,
        stricter=Stricter.LOWER,
    ),
    Setting(
        "scheduler.submits_per_second",
        "SMARTCORE_SCHEDULER_SUBMITS_PER_SECOND",
        Kind.NUMBER,
        0.0,
        "submits of one user on one host; 0: what the launcher's plugin allows",
        minimum=0,
        stricter=Stricter.LOWER,
    ),
    Setting(
        "scheduler.query_interval_min",
        "SMARTCORE_SCHEDULER_QUERY_INTERVAL_MIN",
        Kind.NUMBER,
        0.0,
        "seconds between two queries soon after a change; 0: what the launcher's plugin says",
        minimum=0,
        stricter=Stricter.HIGHER,
    ),
    Setting(
        "scheduler.query_interval_max",
        "SMARTCORE_SCHEDULER_QUERY_INTERVAL_MAX",
        Kind.NUMBER,
        0.0,
        "seconds between two queries when nothing changes; 0: what the launcher's plugin says",
        minimum=0,
        stricter=Stricter.HIGHER,
    ),
    Setting(
        "scheduler.command_timeout",
        "SMARTCORE_SCHEDULER_COMMAND_TIMEOUT",
        Kind.NUMBER,
        0.0,
        "seconds that one command of a scheduler may take; 0: what the launcher's plugin says",
        minimum=0,
    ),
)

OF_DATABASES: Final = {
    "SMARTCORE_DB_AUTH": "set for models: the file with the password of their database; with"
    " _<identifier> for each of several",
    "SMARTCORE_DB_CA": "set for models: the file with the certificate of the authority of their"
    " database, if connections are encrypted; with _<identifier> for each of several",
}
OTHER_VARIABLES: Final = {
    "SMARTCORE_CONFIG": "one file to read instead of the user's and the site's",
    "SMARTCORE_TAG": "set for all that is launched: names the launch",
    **OF_DATABASES,
}

BY_KEY: Final = {setting.key: setting for setting in SETTINGS}
