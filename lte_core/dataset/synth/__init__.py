"""TRACE-synth: procedural scenes with exact boxes, labels and explanations, the training data of lte-nano.

Real and generated scenes hold the same things, drawn alike; only the defects in some objects tell. The files read in
the order textures, objects, panels / figures / crowds, rooms, scene, words, write.
"""

from lte_core.dataset.synth.objects import Kind, SceneObject
from lte_core.dataset.synth.rooms import SIDE
from lte_core.dataset.synth.scene import Scene, compose, encode, plain
from lte_core.dataset.synth.words import VOCABULARY, explain, statement
from lte_core.dataset.synth.write import (
    Made,
    SceneContents,
    SynthError,
    load_photos,
    make,
    read_objects,
    write_dataset,
)

__all__ = [
    "SIDE",
    "VOCABULARY",
    "Kind",
    "Made",
    "Scene",
    "SceneContents",
    "SceneObject",
    "SynthError",
    "compose",
    "encode",
    "explain",
    "load_photos",
    "make",
    "plain",
    "read_objects",
    "statement",
    "write_dataset",
]
