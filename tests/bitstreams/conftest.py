"""A small generated design, and its board simulated behind a serial line."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import serial
from reslif.bitstreams.board import serial_divisor, write_board
from reslif.bitstreams.devices import ECP5_85K, Device
from reslif.hw.emit import generate
from reslif.hw.folding import Folding
from reslif.hw.sequential.program import Sequence
from reslif.sim.verilator import environment
from reslif.sw.formats import Format
from reslif.sw.network import LIF, Dense, Edge, Input, Network, Readout

HERE = Path(__file__).parent
INPUTS, CLASSES = 6, 4


@pytest.fixture(scope="session")
def network() -> Network:
    weight = np.random.default_rng(1).integers(-6, 10, (CLASSES, INPUTS))
    return Network(
        (
            Input("x", INPUTS),
            Dense("fc", weight, Format(5, 0)),
            LIF("lif", CLASSES, Format(12, 0), np.array(7), 3, np.array(5)),
            Readout("out", "count", CLASSES),
        ),
        (Edge("x", "fc"), Edge("fc", "lif"), Edge("lif", "out")),
        max_steps=64,
    )


@pytest.fixture
def design(network: Network, tmp_path: Path) -> Path:
    """The folder of the generated design."""
    generate(network, tmp_path)
    return tmp_path


class SimulatedLine(serial.SerialBase):
    """A pyserial line whose far end is the simulated board.

    The board's time is that of the simulation, however slow: what a host expects of a board within
    some milliseconds is waited for.
    """

    def __init__(self, program: Path, divisor: int, timeout: float = 60.0) -> None:
        self.process = subprocess.Popen(
            [str(program), str(divisor)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.to_board, self.from_board = self.process.stdin, self.process.stdout
        self.half = b""  # of a pair of bytes that the simulation writes
        super().__init__(timeout=timeout, baudrate=ECP5_85K.baud)
        self.is_open = True

    def _reconfigure_port(self) -> None: ...

    def _update_break_state(self) -> None:
        if self._break_state:
            self.to_board.write(b"\x01\x00")

    def write(self, data: bytes) -> int:
        self.to_board.write(bytes(x for byte in data for x in (0, byte)))
        return len(data)

    def read(self, size: int = 1) -> bytes:
        heard = b""
        while len(heard) < size and (pair := self._pair(self.timeout)):
            assert pair[0] == 0, "a mark that nobody asked for"
            heard += pair[1:]
        return heard

    def _pair(self, timeout: float | None = None) -> bytes:
        """What the simulation says next; nothing if it is silent for ``timeout`` seconds."""
        pair = self.half
        while len(pair) < 2 and select.select([self.from_board], [], [], timeout)[0]:
            part = os.read(self.from_board.fileno(), 2 - len(pair))
            assert part, "the simulation has ended"
            pair += part
        self.half = pair if len(pair) < 2 else b""
        return pair if len(pair) == 2 else b""

    def reset_input_buffer(self) -> None:
        """Forget what the board said until it had heard everything, the line break included."""
        self.to_board.write(b"\x02\x00")
        while self._pair()[0] == 0:
            pass

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.to_board.close()
        self.from_board.close()


Verilate = Callable[..., Path]


@pytest.fixture(scope="session")
def verilate(network: Network) -> Verilate:
    """Makes a program of the small design and its board: ``verilate(device, folder, folding)``."""

    def build(device: Device, folder: Path, folding: Folding | Sequence | None = None) -> Path:
        generate(network, folder, folding)
        write_board(folder, device, device.clock_mhz)
        command = ["verilator", "--cc", "--exe", "--build", "--top-module", "board", "-Wno-fatal"]
        command += ["-O3", "-CFLAGS", "-O1", "--no-timing", "--Mdir", str(folder / "obj")]
        sources = ["top.v", "board.v", str(HERE / "plls.v"), str(HERE / "board_sim.cpp")]
        outcome = subprocess.run(
            [*command, *sources],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stdout
        return folder / "obj" / "Vboard"

    return build


@pytest.fixture(scope="session")
def simulated_board(verilate: Verilate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated ULX3S."""
    return verilate(ECP5_85K, tmp_path_factory.mktemp("board"))


@pytest.fixture
def board_line() -> type[SimulatedLine]:
    """Opens a line to a simulated board: ``board_line(program, divisor, timeout)``."""
    return SimulatedLine


@pytest.fixture
def line(simulated_board: Path) -> Iterator[SimulatedLine]:
    """A serial line to the simulated ULX3S."""
    divisor = serial_divisor(ECP5_85K, ECP5_85K.clock_mhz)
    with SimulatedLine(simulated_board, divisor) as simulated:
        yield simulated
