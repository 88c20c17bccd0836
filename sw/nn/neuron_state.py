"""State of the neurons with snnTorch's calling convention: passed, kept, at rest, over time."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .errors import LayerError


class Instances:
    """The living neurons in order of creation; it does not keep a discarded network alive."""

    def __init__(self) -> None:
        self._refs: list[weakref.ref[StatefulNeuron]] = []

    def append(self, neuron: StatefulNeuron) -> None:
        self._refs = [ref for ref in self._refs if ref() is not None]
        self._refs.append(weakref.ref(neuron))

    def __iter__(self) -> Iterator[StatefulNeuron]:
        return iter([neuron for ref in self._refs if (neuron := ref()) is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, index: int) -> StatefulNeuron:
        return list(iter(self))[index]


class StatefulNeuron(nn.Module):
    """States by name, and the calls that pass, keep, reset and detach them.

    A neuron is defined by two methods. ``_step`` is one timestep in plain differentiable
    operations; ``_over_time`` is a whole [T, B, ...] block: by default a loop over ``_step``, in
    most classes one autograd function with a hand-written backward pass, to which ``_step`` is
    the oracle. The convention is described at :class:`reslif.sw.nn.SpikingNeuron`.
    """

    instances: ClassVar[Instances] = Instances()
    """All living neurons; ``reset_hidden`` and ``detach_hidden`` go through them."""

    state_names: ClassVar[tuple[str, ...]] = ("mem",)

    truncate: int = 0
    """In training, a multi-step call is cut into parts of so many steps, which pass on their state
    but no gradient through it (truncated BPTT); 0: one part."""

    def __init__(self, init_hidden: bool, output: bool, multi_step: bool) -> None:
        super().__init__()
        self.init_hidden, self.output, self.multi_step = init_hidden, output, multi_step
        for name in self.state_names:
            self.register_buffer(name, torch.zeros(0), persistent=False)
        StatefulNeuron.instances.append(self)

    # What a neuron is: to be written by each class.

    def _step(self, input_: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One timestep: (spikes, *new states) of the input [B, ...] and the states."""
        raise NotImplementedError

    def _over_time(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A block: (spikes, *states after each step), all [T, B, ...], from initial states."""
        return self._loop(inputs, states)

    def _state_shape(self, input_: Tensor) -> Sequence[int]:
        """Shape of each state for an input [B, ...] of one step."""
        return input_.shape

    def _loop(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        rows = []
        for input_ in inputs:
            row = self._step(input_, states)
            rows.append(row)
            states = row[1:]
        return tuple(torch.stack(column) for column in zip(*rows, strict=True))

    # The calling convention.

    def _run(self, input_: Tensor, *given: Tensor | None) -> Any:
        if self.init_hidden and any(state is not None for state in given):
            raise self._error("states cannot be passed while init_hidden keeps them")
        if not self.multi_step:
            results = self._step(input_, self._start(input_, given))
            self._keep(results[1:])
            return results if self.output or not self.init_hidden else results[0]
        if input_.dim() < 2 or input_.shape[0] == 0:
            raise self._error(
                f"the input has shape {list(input_.shape)}; it must be [T, B, ...] with T ≥ 1"
            )
        results = self._in_parts(input_, self._start(input_[0], given))
        if self.init_hidden:
            self._keep(tuple(trajectory[-1] for trajectory in results[1:]))
        return results if self.output else results[0]

    def _in_parts(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.truncate or not self.training:
            return self._over_time(inputs, states)
        parts = []
        for block in inputs.split(self.truncate):
            part = self._over_time(block, states)
            parts.append(part)
            states = tuple(state[-1].detach() for state in part[1:])
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def _start(self, input_: Tensor, given: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """The states a call starts from: those passed, else those kept, else rest."""
        shape = torch.Size(self._state_shape(input_))
        continues = self.init_hidden or not self.multi_step
        states = []
        for name, state in zip(self.state_names, given, strict=True):
            if state is None and continues:
                state = getattr(self, name)
            if state is None or state.numel() == 0:
                state = torch.zeros(shape, dtype=input_.dtype, device=input_.device)
            elif state.shape != shape:
                raise self._error(
                    f"a step of the input asks for states of shape {list(shape)}, {name} has "
                    f"{list(state.shape)}; reset the state before another batch size"
                )
            states.append(state)
        return tuple(states)

    def _keep(self, states: tuple[Tensor, ...]) -> None:
        for name, state in zip(self.state_names, states, strict=True):
            setattr(self, name, state)

    def reset_mem(self) -> Any:
        """Put the neuron at rest; returns its states, empty: rest at any batch size."""
        self._keep(
            tuple(
                torch.zeros(0, device=getattr(self, self.state_names[0]).device)
                for _ in self.state_names
            )
        )
        states = tuple(getattr(self, name) for name in self.state_names)
        return states[0] if len(states) == 1 else states

    def reset(self) -> None:
        """:meth:`reset_mem` without a result, by the name of :class:`reslif.sw.nn.LIF`."""
        self.reset_mem()

    @classmethod
    def reset_hidden(cls) -> None:
        """Put every living neuron of this class at rest (``SpikingNeuron``: all of them)."""
        for neuron in StatefulNeuron.instances:
            if isinstance(neuron, cls):
                neuron.reset_mem()

    @classmethod
    def detach_hidden(cls) -> None:
        """Cut the kept states of every neuron of this class from the graph: truncated BPTT."""
        for neuron in StatefulNeuron.instances:
            if isinstance(neuron, cls):
                neuron._keep(tuple(getattr(neuron, name).detach() for name in neuron.state_names))

    @classmethod
    def init(cls) -> None:
        """Forget the list of neurons."""
        StatefulNeuron.instances = Instances()

    @staticmethod
    def detach(*states: Tensor) -> None:
        """Detach state tensors in place."""
        for state in states:
            state.detach_()

    @staticmethod
    def zeros(*states: Tensor) -> None:
        """Set state tensors to zero in place (in snnTorch this call does nothing)."""
        for state in states:
            state.detach_().zero_()

    def __getstate__(self) -> dict[str, Any]:
        # A kept state may hang on a graph, which neither deepcopy nor pickle can take along.
        state = self.__dict__.copy()
        state["_buffers"] = {
            name: buffer.detach() if name in self.state_names and buffer is not None else buffer
            for name, buffer in self._buffers.items()
        }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        StatefulNeuron.instances.append(self)

    def _error(self, problem: str) -> LayerError:
        return LayerError(f"{type(self).__name__}: {problem}")
