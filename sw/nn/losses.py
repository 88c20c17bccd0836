"""Losses and accuracies of rates, counts and membranes: see :mod:`.functional`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .errors import LayerError
from .spike_codes import floating
from .spike_targets import targets_convert


def accuracy_rate(
    spk_out: Tensor, targets: Tensor, population_code: bool = False, num_classes: int = 0
) -> float:
    """Share of samples whose class has most spikes: [T, B, N] and labels [B] to 0 … 1."""
    counts = class_counts("accuracy_rate", spk_out, population_code, num_classes)
    return _share_right(counts, targets)


def accuracy_membrane(mem_out: Tensor, targets: Tensor, reduce: str = "max") -> float:
    """Share of samples whose class has the highest membrane [T, B, C]: ``"max"`` or ``"mean"``
    over the steps, the readouts of ``ce_max_membrane_loss`` and ``mse_membrane_loss``."""
    if reduce not in ("max", "mean"):
        raise LayerError(f"accuracy_membrane: reduce is {reduce!r}; it must be 'max' or 'mean'")
    check_outputs("accuracy_membrane", mem_out)
    return _share_right(mem_out.amax(0) if reduce == "max" else mem_out.mean(0), targets)


def _share_right(scores: Tensor, targets: Tensor) -> float:
    return float((scores.argmax(1) == targets).double().mean())


def class_counts(
    owner: str, spk_out: Tensor, population_code: bool = False, num_classes: int = 0
) -> Tensor:
    """Spikes per class [B, C] of [T, B, N]; see :func:`by_class`."""
    check_outputs(owner, spk_out)
    if population_code:
        spk_out = by_class(owner, spk_out, num_classes)
    return floating(spk_out).sum(0)


def by_class(owner: str, spk_out: Tensor, num_classes: int) -> Tensor:
    """Spikes [T, B, C] of populations: N/C neighbouring neurons of [T, B, N] stand for a class."""
    neurons = spk_out.shape[-1]
    if num_classes < 1 or neurons % num_classes:
        raise LayerError(
            f"{owner}: num_classes is {int(num_classes)}; with population_code it must divide the "
            f"number of output neurons, {neurons}"
        )
    return spk_out.unflatten(-1, (num_classes, -1)).sum(-1)


def check_outputs(owner: str, outputs: Tensor) -> None:
    """Raise LayerError unless ``outputs`` is [T, B, N] with T ≥ 1."""
    if outputs.dim() != 3 or len(outputs) == 0:
        raise LayerError(
            f"{owner}: the outputs have shape {list(outputs.shape)}; they must be [T, B, N] with "
            "T ≥ 1"
        )


class Loss:
    """A loss of outputs [T, B, N] and targets: call it; :meth:`accuracy` is the fitting accuracy.

    Args:
        reduction: over the batch (mean square errors: over neurons too): ``"mean"``, ``"sum"`` or
            ``"none"``.
        weight: one weight a class [C], or None. Samples are weighted by their class and then
            averaged plainly, not divided by the sum of weights. (With ``reduction="sum"``
            snnTorch does not reduce weighted losses at all.)
    """

    def __init__(self, reduction: str = "mean", weight: Tensor | None = None) -> None:
        if reduction not in ("mean", "sum", "none"):
            raise LayerError(
                f"{type(self).__name__}: reduction is {reduction!r}; it must be mean, sum or none"
            )
        self.reduction, self.weight = reduction, weight
        self.__name__ = type(self).__name__

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        check_outputs(self.__name__, outputs)
        return self._reduce(self._losses(outputs, targets))

    def accuracy(self, outputs: Tensor, targets: Tensor) -> float:
        """Share of samples that the readout which this loss trains gets right."""
        raise NotImplementedError

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Weighted losses before reduction, [B] or [B, N]."""
        raise NotImplementedError

    def _reduce(self, losses: Tensor) -> Tensor:
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()

    def _cross_entropy(self, scores: Tensor, targets: Tensor) -> Tensor:
        """[B] of scores [B, C]."""
        weight = None if self.weight is None else self.weight.to(scores)
        return cross_entropy(scores, targets, weight, reduction="none")

    def _weighted(self, losses: Tensor, targets: Tensor) -> Tensor:
        """Square errors [B, N] times the weight of the sample's class."""
        if self.weight is None:
            return losses
        return losses * self.weight.to(losses)[targets].unsqueeze(-1)


class PopulationLoss(Loss):
    """A loss of spikes whose classes may be populations.

    Args:
        population_code: N/C neighbouring neurons stand for one class.
        num_classes: C; needed with ``population_code``, and must divide N.
        reduction, weight: as in :class:`Loss`.
    """

    def __init__(
        self,
        population_code: bool = False,
        num_classes: int = 0,
        reduction: str = "mean",
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction, weight)
        self.population_code, self.num_classes = population_code, num_classes

    def accuracy(self, outputs: Tensor, targets: Tensor) -> float:
        return accuracy_rate(outputs, targets, self.population_code, self.num_classes)


class ce_rate_loss(PopulationLoss):
    """Cross entropy of every step's spikes, averaged over steps: fire in every step, or never.

    Targets: class labels [B]. With ``population_code`` a class's score is its population's spikes
    (in snnTorch it compares all neurons with the labels, and needs two weights).
    """

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.population_code:
            outputs = by_class(self.__name__, outputs, self.num_classes)
        steps, batch = outputs.shape[:2]
        losses = self._cross_entropy(outputs.flatten(0, 1), targets.repeat(steps))
        return losses.view(steps, batch).mean(0)


class ce_count_loss(PopulationLoss):
    """Cross entropy of the spike counts. Targets: class labels [B]."""

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        counts = class_counts(self.__name__, outputs, self.population_code, self.num_classes)
        return self._cross_entropy(counts, targets)


class mse_count_loss(PopulationLoss):
    """Square error of spike counts to a wanted count, divided by T.

    Targets: class labels [B].

    Args:
        correct_rate, incorrect_rate: wanted spikes per step of the right and of all other
            neurons; the count is rounded down (with ``population_code``: the population's).
        population_code, num_classes, reduction, weight: as in :class:`PopulationLoss`.
    """

    def __init__(
        self,
        correct_rate: float = 1,
        incorrect_rate: float = 0,
        population_code: bool = False,
        num_classes: int = 0,
        reduction: str = "mean",
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(population_code, num_classes, reduction, weight)
        self.correct_rate, self.incorrect_rate = correct_rate, incorrect_rate

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        counts = class_counts(self.__name__, outputs, self.population_code, self.num_classes)
        steps, neurons = outputs.shape[0], outputs.shape[-1]
        population = neurons / self.num_classes if self.population_code else 1
        wanted = targets_convert(
            targets,
            num_classes=counts.shape[-1],
            on_target=int(steps * self.correct_rate * population),
            off_target=int(steps * self.incorrect_rate * population),
        ).to(counts)
        return self._weighted((counts - wanted).square(), targets) / steps


class ce_max_membrane_loss(Loss):
    """Cross entropy of each neuron's highest membrane. Targets: class labels [B]."""

    def accuracy(self, outputs: Tensor, targets: Tensor) -> float:
        return accuracy_membrane(outputs, targets, "max")

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._cross_entropy(outputs.amax(0), targets)


class mse_membrane_loss(Loss):
    """Square error of the membranes to a wanted membrane, averaged over steps.

    Targets: class labels [B]; with ``time_var_targets`` labels [T, B] or membranes [T, B, C] (in
    snnTorch these cannot be given: it takes sample t's target for step t).

    Args:
        time_var_targets: the targets differ from step to step.
        on_target, off_target: wanted membrane of the right and of all other neurons.
        reduction, weight: as in :class:`Loss`; weights need labels [B].
    """

    def __init__(
        self,
        time_var_targets: bool = False,
        on_target: float = 1,
        off_target: float = 0,
        reduction: str = "mean",
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction, weight)
        if time_var_targets and weight is not None:
            raise LayerError("mse_membrane_loss: weights need targets that do not vary with time")
        self.time_var_targets = time_var_targets
        self.on_target, self.off_target = on_target, off_target

    def accuracy(self, outputs: Tensor, targets: Tensor) -> float:
        if self.time_var_targets:
            raise LayerError("mse_membrane_loss: an accuracy needs one label a sample")
        return accuracy_membrane(outputs, targets, "mean")

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        wanted = self._wanted(targets, outputs).to(outputs)
        return self._weighted((outputs - wanted).square().mean(0), targets)

    def _wanted(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """Membranes that broadcast to [T, B, C]."""
        shape = outputs.shape if targets.dim() == 3 else outputs.shape[:2]
        if not self.time_var_targets:
            shape = outputs.shape[1:2]
        if targets.shape != shape:
            raise LayerError(
                f"mse_membrane_loss: the targets have shape {list(targets.shape)}; with "
                f"time_var_targets={self.time_var_targets} they must be {list(shape)}"
            )
        if targets.dim() == 3:
            return targets
        one_hot = targets_convert(
            targets.flatten(), outputs.shape[-1], on_target=self.on_target,
            off_target=self.off_target,
        )  # fmt: skip
        return one_hot.view(*targets.shape, -1)


class l1_rate_sparsity:
    """``Lambda`` times the number of spikes: a penalty on firing, added to a loss."""

    def __init__(self, Lambda: float = 1e-5) -> None:
        self.Lambda = Lambda
        self.__name__ = "l1_rate_sparsity"

    def __call__(self, spk_out: Tensor) -> Tensor:
        return self.Lambda * torch.sum(spk_out)
