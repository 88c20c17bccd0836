"""The recurrent network of the moving digits: frame by frame, and whole clips at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .errors import LayerError
from .readout import SpikeCount
from .rleaky import RLeaky
from .spiking_neuron import SpikeFunction


@dataclass(frozen=True)
class RSNNParameters:
    """What :class:`RSNNNet` reads of its ``hp``; any object with these fields will do.

    Attributes:
        hidden_size, output_size: neurons of the two layers.
        beta: leak of every neuron.
        spike_grad: surrogate of every neuron, as in :class:`RLeaky`; None is atan(2).
        dropout_p: probability with which a hidden current is dropped in training.
    """

    hidden_size: int = 256
    output_size: int = 10
    beta: float | Tensor = 15 / 16
    spike_grad: SpikeFunction | None = None
    dropout_p: float = 0.0


class _RSNN(nn.Module):
    """The layers of both forms, by the same names: state dicts of either load into the other."""

    def __init__(self, hp: Any, input_size: int, **calls: bool) -> None:
        super().__init__()
        sizes = {
            "input_size": input_size, "hidden_size": hp.hidden_size, "output_size": hp.output_size,
        }  # fmt: skip
        for name, size in sizes.items():
            if size < 1:
                raise LayerError(f"{type(self).__name__}: {name} is {size}; it must be at least 1")
        if not 0 <= hp.dropout_p < 1:
            raise LayerError(
                f"{type(self).__name__}: dropout_p is {hp.dropout_p}; it must be at least 0 and "
                "below 1"
            )

        def neurons(count: int) -> RLeaky:
            return RLeaky(hp.beta, linear_features=count, spike_grad=hp.spike_grad, **calls)  # pyright: ignore[reportArgumentType]

        self.input_size = input_size
        self.fc1 = nn.Linear(input_size, hp.hidden_size)
        self.dropout = nn.Dropout(hp.dropout_p)
        self.rlif1 = neurons(hp.hidden_size)
        self.fc2 = nn.Linear(hp.hidden_size, hp.output_size)
        self.rlif2 = neurons(hp.output_size)

    def _layers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.rlif1(self.dropout(self.fc1(x)))
        return hidden, self.rlif2(self.fc2(hidden))


class RSNNNet(_RSNN):
    """Flatten → Linear → Dropout → RLeaky → Linear → RLeaky, both all-to-all; a frame per call.

    ``forward`` takes a frame [B, ...] of ``input_size`` values and returns the spikes of the
    hidden layer [B, hidden_size] and of the output layer [B, output_size]. Neurons keep their
    state from call to call: :meth:`reset` begins another clip. The class with most output spikes
    over a clip is the answer.

    Args:
        hp: :class:`RSNNParameters`, or any object with its fields.
        input_size: values of a frame.

    Raises:
        LayerError: a size below 1, a dropout outside [0, 1); a frame of another size.
    """

    def __init__(self, hp: Any, input_size: int) -> None:
        super().__init__(hp, input_size, init_hidden=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        if flat.shape[1] != self.input_size:
            raise LayerError(
                f"RSNNNet: a frame has shape {list(x.shape)}; it must be [B, ...] with "
                f"{self.input_size} values each"
            )
        return self._layers(flat)

    def reset(self) -> None:
        """Put all neurons at rest, for another clip."""
        self.rlif1.reset()
        self.rlif2.reset()


class RSNNClassifier(_RSNN):
    """:class:`RSNNNet` over clips: [T, B, input_size] → number of output spikes [B, output_size].

    The form that recipes train, quantise and turn into hardware. Each call starts at rest.
    Arguments and errors as there.
    """

    def __init__(self, hp: Any, input_size: int) -> None:
        super().__init__(hp, input_size, multi_step=True)
        self.readout = SpikeCount()

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self._layers(x)[1])
