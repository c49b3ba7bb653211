"""A click group that knows the names of its commands without importing them."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

import click

from smartcore import log
from smartcore.error import PluginBrokenError, SmartcoreError

from .shell import Shell


class LazyCommand(NamedTuple):
    """Where a command is, ``module:attribute``, and its line in the help."""

    target: str
    summary: str


class LazyGroup(click.Group):
    """The commands of the core, and those that plugins register; errors as one line.

    :param lazy: the core's own commands, which win over a plugin's of the same name
    """

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self._lazy, *self._registry_names(ctx)})

    def _registry_names(self, ctx: click.Context) -> list[str]:
        try:
            return ctx.ensure_object(Shell).registry.names("commands")
        except SmartcoreError:
            if ctx.resilient_parsing:  # completion in a shell: no place for errors
                return []
            raise

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._lazy:
            module, _, attribute = self._lazy[cmd_name].target.partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return self._plugin_command(ctx, cmd_name)

    def _plugin_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self._registry_names(ctx):
            return None
        registry = ctx.ensure_object(Shell).registry
        entry = registry.entry("commands", name)
        command = registry.load(entry.target, entry.plugin)
        if not isinstance(command, click.Command):
            raise PluginBrokenError(
                f"{entry.target} of the plugin {entry.plugin!r} is a {type(command).__name__}, not"
                " a click command"
            )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known = name.startswith("-") or ctx.resilient_parsing or self.get_command(ctx, name)
        if not known:
            names = self.list_commands(ctx)
            near = difflib.get_close_matches(name, names, 1)
            ctx.fail(
                f"no command {name!r}; "
                + (f"is {near[0]} meant?" if near else f"there are: {', '.join(names)}")
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click would import every command for its help.
        entries = ctx.ensure_object(Shell).registry.entries("commands")
        lines = {
            entry.name: entry.summary or f"From the plugin {entry.plugin}." for entry in entries
        }
        lines |= {name: command.summary for name, command in self._lazy.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(lines.items()))

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with _one_line():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line():
            return super().invoke(ctx)


class _Failure(click.ClickException):
    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"smartcore: error: {self.message}", file=file, err=True)


@contextmanager
def _one_line() -> Iterator[None]:
    # An error of ours is a line for people; developers get the whole story.
    try:
        yield
    except SmartcoreError as error:
        if Shell().log_level() == log.DEVELOPER:
            raise
        raise _Failure(" ".join(str(error).split())) from error
