"""Running a traced module so that every error is one line that names the line of source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..graph import GraphError
from ..nn import LayerError

_OWN = str(Path(__file__).parent)
_TORCH = str(Path(torch.__file__).parent)


def last_user_line(frames: Sequence[tuple[str, int | None]]) -> str:
    """``file:line: `` of the innermost frame that is neither PyTorch's nor the tracer's."""
    own = [f for f in frames if not f[0].startswith((_TORCH, _OWN)) and f[0] != "<frozen"]
    return f"{own[-1][0]}:{own[-1][1]}: " if own else ""


class Translator(fx.Interpreter):
    """Runs a traced module on a sample and has each operation translated on the way."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.extra_traceback = False  # our errors are one line
        self._refusal: GraphError | None = None

    def run_node(self, n: fx.Node) -> Any:
        try:
            result = super().run_node(n)
        except (RuntimeError, LayerError, IndexError, TypeError) as error:
            raise self._refuse(n, str(error).splitlines()[0]) from None
        try:
            self._translate(n, result)
        except (GraphError, LayerError) as error:
            if error is self._refusal:
                raise
            raise self._refuse(n, str(error)) from None
        return result

    def _translate(self, n: fx.Node, result: Any) -> None:
        """Translate an operation whose value on the sample is ``result``. For subclasses."""
        raise NotImplementedError

    def _called(self, n: fx.Node) -> nn.Module | None:
        return self.fetch_attr(str(n.target)) if n.op == "call_module" else None

    def _before(self, n: fx.Node, argument: int = 0) -> Tensor:
        """The value of an argument on the sample."""
        return self.env[n.args[argument]]  # pyright: ignore[reportArgumentType]

    def _check_signal(
        self, n: fx.Node, value: Any, leading_time: bool = True, features: bool = False
    ) -> None:
        """A signal is [T, B, ...] (before an encoder [B, ...]); with ``features`` no image."""
        shape = list(value.shape) if isinstance(value, Tensor) else []
        if len(shape) < 2 + leading_time or (features and len(shape) > 3):
            must = "[T, B, N]" if leading_time else "[B, N]"
            found = shape if isinstance(value, Tensor) else type(value).__name__
            raise self._refuse(n, f"{n.name} has shape {found}, must be {must}")

    def _refuse(self, n: fx.Node, why: str) -> GraphError:
        frames = re.findall(r'File "(.+)", line (\d+)', n.stack_trace or "")
        module = f"layer '{n.target}': " if n.op == "call_module" else ""
        self._refusal = GraphError(f"{last_user_line(frames)}{module}{why}")
        return self._refusal
