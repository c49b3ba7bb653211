"""Descriptions of what is to run: models, ensembles, and what belongs to them. Nothing here
launches anything.
"""

from .colocation import ColocationSettings
from .dbnode import DBNode
from .dbobject import DBModel, DBObject, DBScript
from .ensemble import Ensemble
from .entity import Entity, SmartSimEntity
from .entity_list import EntityList, EntitySequence
from .files import EntityFiles, TaggedFilesHierarchy
from .model import Model
from .telemetry import TelemetryConfiguration

__all__ = [
    "ColocationSettings",
    "DBModel",
    "DBNode",
    "DBObject",
    "DBScript",
    "Ensemble",
    "Entity",
    "EntityFiles",
    "EntityList",
    "EntitySequence",
    "Model",
    "SmartSimEntity",
    "TaggedFilesHierarchy",
    "TelemetryConfiguration",
]
