"""What would be started, shown before it is: data in, text out.

The entities become frozen data (:mod:`.view`), of which each verbosity shows a part; both formats
show the same part. Nothing is written or started but by :func:`write`, which writes the text.
"""

from .describe import describe_database, describe_ensemble, describe_model, preview_of
from .render import document, render
from .view import (
    DatabasePreview,
    EnsemblePreview,
    ExperimentPreview,
    Format,
    ModelPreview,
    PlannedPreview,
    Verbosity,
)
from .write import write

__all__ = [
    "DatabasePreview",
    "EnsemblePreview",
    "ExperimentPreview",
    "Format",
    "ModelPreview",
    "PlannedPreview",
    "Verbosity",
    "describe_database",
    "describe_ensemble",
    "describe_model",
    "document",
    "preview_of",
    "render",
    "write",
]
