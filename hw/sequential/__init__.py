"""The sequential engine: one set of lanes that goes through a network layer by layer.

- What it does: :mod:`.program` is the network as operations. In the engine's memories that is
  :mod:`.words`, a word for each operation, and :mod:`.rows`, of weights and biases.
  :mod:`.shapes` says how wide everything is that passes.
- What does it: :mod:`.engine` steers :mod:`.lanes` (stages of a :mod:`.pipeline`, which
  :mod:`.probes` shows to the simulation). They read events from :mod:`.input_store` and
  :mod:`.spike_store`; scores leave through :mod:`.results`.
- Where weights come from: a :mod:`.weight_source` is block RAM, external memory
  (:mod:`.weight_stream`) or the host (:mod:`.weight_load`), which :mod:`.weight_choice` decides.
- What it takes and how fast it is: :mod:`.fit`.

Nothing is imported here: the registers need a type of :mod:`.program`, and the engine needs them.
"""
