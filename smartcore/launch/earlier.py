"""What earlier drivers of an experiment launched, by what their journals say."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from smartcore.error import EntityExistsError, PathNotFoundError
from smartcore.launch.farewell import some
from smartcore.launch.journal import read
from smartcore.launch.run import Run
from smartcore.launch.story import Story


class Earlier:
    """The runs of earlier drivers, read when somebody asks first.

    :param path: the experiment's directory
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._story: Story | None = None
        self._runs: dict[str, list[Run]] = {}
        self.adopted = False  # all of it is followed, as by an attach

    @property
    def story(self) -> Story:
        """What the journals say; an empty one where nothing was started.

        :raises ConfigError: one of them cannot be read
        """
        if self._story is None:
            try:
                self._take(read(self._path))
            except PathNotFoundError:
                self._take(Story())
        return self._story or Story()

    def adopt(self, story: Story) -> None:
        """Take a story that is followed from now on."""
        self._take(story)
        self.adopted = True

    def _take(self, story: Story) -> None:
        self._story = story
        self._runs = {}
        for run in story.runs:
            self._runs.setdefault(run.name, []).append(run)

    def of(self, name: str) -> Sequence[Run]:
        """The runs of a name, as far as they were read."""
        return self._runs.get(name, ())

    def unsettled(self, names: Iterable[str]) -> list[Run]:
        """Runs of these names of which nobody has said how they ended, and nobody here will.

        :raises ConfigError: a journal cannot be read
        """
        driven = self.story.driven  # by another object of this process
        return [
            run
            for name in names
            for run in self.of(name)
            if run.active and run.step.tag not in driven
        ]

    def refuse(self, names: Iterable[str]) -> None:
        """Refuse to start again what goes on.

        :raises EntityExistsError: naming it, and the next step
        """
        if self.adopted:
            return
        going = [name for name in names if any(run.active for run in self.of(name))]
        if going:
            raise EntityExistsError(
                f"{some([repr(name) for name in going])}: started by an earlier driver and still"
                " running; take it up with Experiment.attach(path), or end it:"
                f" smartcore stop {shlex.quote(str(self._path))}"
            )
