"""A training that is interrupted."""

from __future__ import annotations

import pytest
from reslif.sw import fit


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Interrupt training after ``after`` epochs, as a user's Ctrl-C would."""
    real, calls = fit._train_epoch, []

    def train_epoch(*arguments) -> float:
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(fit, "_train_epoch", train_epoch)
