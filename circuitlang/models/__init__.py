"""Models known without their weights: their sizes, where they come from, and the built-in one."""

from circuitlang.models.at_hand import folder_at_hand, size_at_hand
from circuitlang.models.registry import OBTAINABLE, ObtainableModel, cache_folder, find_obtainable
from circuitlang.models.shape import (
    BUILTIN_FOLDER,
    KNOWN_SHAPES,
    ModelShape,
    builtin_folder,
    builtin_names,
    shape_of_folder,
    shape_of_name,
)
from circuitlang.models.size import (
    ModelSize,
    context_of_folder,
    shape_with_neurons,
    size_of_folder,
    size_of_name,
)

__all__ = [
    "BUILTIN_FOLDER",
    "KNOWN_SHAPES",
    "OBTAINABLE",
    "ModelShape",
    "ModelSize",
    "ObtainableModel",
    "builtin_folder",
    "builtin_names",
    "cache_folder",
    "context_of_folder",
    "find_obtainable",
    "folder_at_hand",
    "shape_of_folder",
    "shape_of_name",
    "shape_with_neurons",
    "size_at_hand",
    "size_of_folder",
    "size_of_name",
]
