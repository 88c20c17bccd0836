"""The sequential engine: one set of lanes that goes through a network layer by layer.

What it does: :mod:`.program`, a network as operations, and :mod:`.words`, what its memories hold.

What does it: :mod:`.engine`, around :mod:`.lanes` (shown to the simulation by :mod:`.probes`),
between :mod:`.input_store` and :mod:`.spike_store`, which they read, and :mod:`.results`. Its
weights come from a :mod:`.weight_source`: block RAM, external memory (:mod:`.weight_stream`) or the
host (:mod:`.weight_load`), by :mod:`.weight_choice`.

What it takes and how fast it is: :mod:`.fit`.

Nothing is imported here: recipes and registers need :class:`.program.Sequence` and no engine.
"""
