"""Which launcher to use on this host: what each finds out, and which one ``auto`` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from smartcore.config import Config
from smartcore.error import PluginError, SmartcoreError, UnsupportedError
from smartcore.loader import broken
from smartcore.registration import LauncherEntry
from smartcore.registry import Registry
from smartcore.spec import Detection, Detector, Score

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one launcher found out about this host."""

    entry: LauncherEntry
    detection: Detection


class Choice(NamedTuple):
    """The launcher that ``auto`` takes, and why."""

    name: str
    why: str


def find(registry: Registry, environment: Mapping[str, str]) -> list[Finding]:
    """Ask every launcher whether it is usable here, the best first.

    One that fails says so as its evidence.
    """
    found = []
    for name in registry.names("launchers"):
        try:
            entry = registry.launcher(name)
            detection = _detect(registry, entry, environment)
        except SmartcoreError as error:  # in conflict, or composed of what is not there
            makers = ", ".join(registry.makers("launchers", name))
            entry = LauncherEntry(name, makers, "", auto=False)
            detection = Detection(Score.UNUSABLE, str(error))
        found.append(Finding(entry, detection))
    return sorted(found, key=_preference)


def _preference(finding: Finding) -> tuple[int, bool, str]:
    # A composed launcher has its scheduler's score; the scheduler itself goes first.
    return -finding.detection.score, bool(finding.entry.scheduler), finding.entry.name


def _detect(registry: Registry, entry: LauncherEntry, environment: Mapping[str, str]) -> Detection:
    if not entry.detect:
        return Detection(Score.UNUSABLE, "offers no detection; name it to use it")
    try:
        detector: Detector = registry.load(entry.detect, entry.plugin)
        detection = detector(environment)
        if not isinstance(detection, Detection):
            raise TypeError(f"it returned {detection!r}, not a Detection")
    except PluginError as known:
        return Detection(Score.UNUSABLE, str(known))
    except Exception as cause:  # noqa: BLE001 -- foreign code: shown as its evidence
        what = broken(registry.plugin(entry.plugin), f"failed in {entry.detect}", cause)
        return Detection(Score.UNUSABLE, str(what))
    return detection


def best(findings: Sequence[Finding]) -> Finding | None:
    """The usable one of the highest score that may be chosen without being named."""
    usable = [found for found in findings if found.entry.auto and found.detection.usable]
    return usable[0] if usable else None


def choose(
    registry: Registry,
    config: Config,
    environment: Mapping[str, str],
    findings: Sequence[Finding] | None = None,
) -> Choice:
    """What ``launcher="auto"`` takes: the setting ``launcher``, else the best that is found.

    :param findings: what was found before, if it was
    :raises SmartcoreError: the setting names one that cannot be used
    :raises UnsupportedError: none of those installed is usable here
    """
    name = config.text("launcher").lower()
    if name not in {"", AUTO}:
        registry.launcher(name)
        return Choice(name, f"the setting launcher says so ({config.origin('launcher')})")
    chosen = best(find(registry, environment) if findings is None else findings)
    if chosen is None:
        names = ", ".join(registry.names("launchers")) or "none"
        raise UnsupportedError(
            f"no installed launcher is usable here (installed: {names}); see: smartcore launchers"
            " list"
        )
    evidence, score = chosen.detection.evidence, int(chosen.detection.score)
    return Choice(chosen.entry.name, f"{evidence} (score {score})")
