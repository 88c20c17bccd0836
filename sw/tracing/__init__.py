"""From a PyTorch module to a float graph, by symbolic tracing (torch.fx)."""

from __future__ import annotations

import copy
import traceback

import torch
from torch import Tensor, fx, nn

from ..formats import SPIKE, Format
from ..graph import FloatGraph, GraphError, run_float
from ..images import to_flat
from ..nn import utils
from ..nn.neuron_state import StatefulNeuron
from .builder import Builder
from .lines import last_user_line
from .vocabulary import LEAVES


def from_torch(module: nn.Module, sample: Tensor, input_format: Format = SPIKE) -> FloatGraph:
    """The float graph of ``module`` in evaluation mode.

    Carried over: ``nn.Linear`` with a ``BatchNormOverTime`` behind it and ``ConvOverTime`` with a
    ``BatchNormOverTime2d`` (folded, running statistics), ``AvgPoolOverTime``, ``MaxPoolOverTime``
    and ``GlobalAvgPool``, ``BatchNormTT1d`` and ``BatchNormTT2d``, every neuron of
    :mod:`reslif.sw.nn` (with ``multi_step=True``, from rest), its spikes and, with
    ``output=True``, its membrane; joins and readouts, ``+`` and ``*`` of two signals; at the end
    ``sum(0)`` or ``mean(0)`` over time, and of membranes ``[-1]`` or ``amax(0)``; a leading
    ``DirectEncoder``; ``Identity``, ``Dropout``, and any flattening or unflattening behind the
    batch. A module called twice becomes two nodes with copies of its parameters. A mean over time
    becomes a sum: same classes. A signal ``[T, B, ...]`` becomes ``[T, B, n]`` in C order, but
    images ``[T, B, C, H, W]`` pixel by pixel (:mod:`reslif.sw.images`), the network's inputs too;
    the 1/k² of an average lies in the weights that read it.

    ``sample`` is an example input ``[T, B, ...]`` (``[B, ...]`` before a ``DirectEncoder``), in
    real units, on which the graph must reproduce the module's output. ``input_format`` is what the
    network's input will have, and must reach as far as the sample. Raises :class:`GraphError`, with
    the line of source that did it, for whatever the contract cannot hold.
    """
    _check(module, sample, input_format)
    # In double precision, so that folding batch norm cannot tip a membrane over its threshold.
    module = copy.deepcopy(module).cpu().double().eval()
    utils.reset(module)  # a network starts every sample at rest
    sample = sample.cpu().double()
    builder = Builder(_traced(module), input_format)
    with torch.no_grad():
        expected = builder.run(sample).flatten(1)
    graph = builder.parts.graph()
    steps = sample if builder.steps is None else sample.expand(builder.steps, *sample.shape)
    flat = to_flat(steps) if steps.dim() == 5 else steps.flatten(2)
    found, _ = run_float(graph, flat)
    difference = float((found / builder.divisor - expected).abs().max())
    if difference > 1e-6 * max(1.0, float(expected.abs().max())):
        raise GraphError(
            f"the traced graph differs from {type(module).__name__} by {difference:.3g} "
            "on the example input"
        )
    return graph


def _check(module: nn.Module, sample: Tensor, form: Format) -> None:
    if not isinstance(module, nn.Module):
        raise GraphError(f"there is no module to trace, but {module!r}")
    if not isinstance(sample, Tensor) or not sample.numel():
        raise GraphError("the example input must be a tensor of PyTorch, and not empty")
    if not torch.isfinite(sample).all():
        raise GraphError("the example input holds NaN or infinity, must be finite")
    if not isinstance(form, Format):
        raise GraphError(f"input_format is {form!r}, must be a Format, as Format(5, 4, False)")
    low, high = float(sample.min()), float(sample.max())
    # Half a step beyond its ends, real numbers still round to integers of the format.
    if low < (form.min - 0.5) * form.step or high > (form.max + 0.5) * form.step:
        raise GraphError(
            f"the example input spans {low:g} to {high:g}, must be real units that {form} holds, "
            f"{form.min * form.step:g} to {form.max * form.step:g}"
        )


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)


def _traced(module: nn.Module) -> fx.GraphModule:
    tracer = _Tracer()
    tracer.record_stack_traces = True
    try:
        return fx.GraphModule(module, tracer.trace(module))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = last_user_line([(f.filename, f.lineno) for f in frames])
        why = f"cannot trace {type(module).__name__}: {str(error).splitlines()[0]}"
        for name, layer in module.named_modules():
            # A loop over timesteps cannot be traced, and needs not be written.
            if isinstance(layer, StatefulNeuron) and not layer.multi_step:
                why += f" (its {type(layer).__name__} '{name}' must have multi_step=True)"
                break
        raise GraphError(line + why) from None
