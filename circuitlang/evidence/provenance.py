"""By what the numbers were made: enough to make them again."""

from circuitlang.evidence.frozen import Frozen


class Provenance(Frozen):
    """The model as it was loaded, the machine's relevant facts, and the library versions.

    ``parallel`` and ``neurons`` are those of `ModelShape`; evidence from before they were kept has
    False and None. ``key_values`` is shared or ungrouped, as the file asked; ``kv_heads`` are those
    of the model that was run, so as many as ``heads`` where they were ungrouped.
    """

    model: str
    architecture: str
    layers: int
    heads: int
    kv_heads: int
    parallel: bool = False
    neurons: int | None = None
    revision: str | None
    weights: str
    key_values: str = "shared"
    weights_sha256: str | None
    dtype: str
    device: str
    threads: int
    engine: str
    batch_size: int
    forward_passes: int
    seconds: float
    versions: dict[str, str]
