"""By what numbers were made."""

import torch

from circuitlang.engine.loading import LoadedModel
from circuitlang.evidence import Provenance


def provenance(model: LoadedModel, engine: str, batch_size: int, seconds: float) -> Provenance:
    """By what numbers were made, after they were made."""
    transformer = model.transformer
    return Provenance(
        model=model.name,
        architecture=model.architecture,
        layers=transformer.shape.layers,
        heads=transformer.shape.heads,
        kv_heads=transformer.shape.kv_heads,
        parallel=transformer.shape.parallel,
        neurons=transformer.shape.neurons,
        revision=model.revision,
        weights=model.weights,
        key_values=model.key_values,
        weights_sha256=model.weights_sha256,
        dtype=str(transformer.dtype).removeprefix("torch."),
        device=str(transformer.device),
        threads=torch.get_num_threads(),
        engine=engine,
        batch_size=batch_size,
        forward_passes=transformer.passes,
        seconds=round(seconds, 3),
        versions=model.versions,
    )
