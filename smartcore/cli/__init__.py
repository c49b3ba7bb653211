"""The command ``smartcore``; its subcommands live in modules of their own, imported when run."""

from __future__ import annotations

import click

from smartcore import __version__, log

from .group import LazyCommand, LazyGroup
from .shell import Shell

COMMANDS = {
    "databases": LazyCommand("smartcore.cli.databases:databases", "Show database back ends."),
    "db": LazyCommand("smartcore.cli.db:db", "Look into databases, stop them, connect to them."),
    "doctor": LazyCommand("smartcore.cli.doctor:doctor", "Check that smartcore can work here."),
    "explain": LazyCommand("smartcore.cli.allocation:explain", "Tell all about one model."),
    "gc": LazyCommand("smartcore.cli.housekeeping:gc", "End and remove what has no owner."),
    "info": LazyCommand("smartcore.cli.info:info", "Show versions, paths and settings."),
    "launchers": LazyCommand(
        "smartcore.cli.launchers:launchers", "Show launchers, and which one auto takes."
    ),
    "logs": LazyCommand("smartcore.cli.experiments:logs", "Print the output of a model."),
    "plan": LazyCommand("smartcore.cli.allocation:plan", "Show who runs where, and who is next."),
    "plugins": LazyCommand("smartcore.cli.plugins:plugins", "Show and check installed plugins."),
    "ps": LazyCommand("smartcore.cli.housekeeping:ps", "Show all experiments on this host."),
    "status": LazyCommand("smartcore.cli.experiments:status", "Show how an experiment stands."),
    "stop": LazyCommand("smartcore.cli.experiments:stop", "Stop what an experiment runs."),
}


def _no_plugins(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        context.ensure_object(Shell).use_plugins = False


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--no-plugins",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_no_plugins,
    help="Load no plugin at all.",
)
@click.version_option(__version__, prog_name="smartcore")
@click.pass_context
def main(context: click.Context) -> None:
    """Look after experiments, and at what smartcore has to work with on this machine.

    \b
    Examples:
      smartcore launchers list        what can launch here, and what auto takes
      smartcore doctor                is everything in order?
      smartcore info                  settings, and where each comes from
      smartcore status PATH           how the models of an experiment stand
      smartcore ps                    all of your experiments on this host

    Exit codes: 0 all is well, 1 a problem was found, 2 wrong usage.
    """
    log.setup(context.ensure_object(Shell).log_level(), stream="stderr")
