"""Checkpointing: layers that forget what their backward pass needs, and compute it again there.

The second forward pass over a batch is no new batch: batch norm must not count it, and what
watches neurons through forward hooks has seen its spikes. Both ask :func:`computing_again`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Not thread-local: the backward pass of other devices runs in threads of its own.
_depth = 0


def computing_again() -> bool:
    """Whether checkpointed layers are at this moment computing for the second time."""
    return _depth > 0


@contextmanager
def _again() -> Iterator[None]:
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _again()


def forgetting(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``run(x)``, of which only ``x`` is kept for the backward pass. ``run`` draws no numbers."""
    result = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False, context_fn=_contexts)
    assert isinstance(result, Tensor)
    return result
