"""The command line, run within the test."""

from __future__ import annotations

import sys

import pytest
from reslif.sw import cli


def reslif(monkeypatch, *arguments):
    """Run the command; its exit status."""
    monkeypatch.setattr(sys, "argv", ["reslif", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code or 0


def refused(monkeypatch, capsys, *arguments):
    """The one line that a refused command leaves."""
    assert reslif(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("reslif: ")
    assert "\n" not in error
    return error
