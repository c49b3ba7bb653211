"""Launch simulations, ensembles and in-memory databases from one Python script.

::

    from smartcore import Experiment

    exp = Experiment("hello", launcher="auto")
    model = exp.create_model("hello", exp.create_run_settings("echo", "hello"))
    exp.start(model)
    print(exp.summary())
"""

from __future__ import annotations

from smartcore import lazy
from smartcore.version import __version__

TYPE_CHECKING = False  # `typing` itself is not needed to run
if TYPE_CHECKING:
    from smartcore.experiment import Experiment

__all__ = ["Experiment", "__version__"]

lazy.install()


def __getattr__(name: str) -> object:
    # `import smartcore` stays cheap: what it offers is imported when first named.
    if name == "Experiment":
        from smartcore.experiment import Experiment

        return Experiment
    raise AttributeError(f"module 'smartcore' has no attribute {name!r}")
