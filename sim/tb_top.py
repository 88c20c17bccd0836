"""The cocotb test bench of a generated top: AXI4-Stream in and out, AXI4-Lite for the registers.

Runs inside the simulator (started by :mod:`.cocotb_run`), reads its job from the folder named by
the environment and leaves its results there. The only Python per cycle is that of the two stream
drivers; probes are recorded by the simulation itself and compared after the run.
"""

import itertools
import json
import logging
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, SimTimeoutError, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiReadBus,
    AxiSlaveRead,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

PERIOD = 2  # simulator steps; the design is synchronous, so its clock's frequency means nothing


def pauses(seed: int, probability: float) -> Iterator[bool]:
    """Whether to pause, cycle by cycle, as ``Stalls`` describes."""
    generator = random.Random(seed)
    while True:
        if generator.random() >= probability:
            yield False
        else:
            longer = generator.randrange(32) == 0
            for _ in range(1 + (generator.randrange(256) if longer else 0)):
                yield True


class Weights:
    """The memory that a design streams its weights from: a target of cocotbext-axi."""

    def __init__(self, image: bytes, base: int, error_at: int | None) -> None:
        self.image = image
        self.base = base
        self.error_at = -1 if error_at is None else error_at

    async def read(self, address: int, length: int) -> bytes:
        """What fails here is answered with SLVERR."""
        first = address - self.base
        if first <= self.error_at < first + length or not 0 <= first <= len(self.image) - length:
            raise ValueError(address)
        return self.image[first : first + length]


def connect_memory(dut, job: dict, image: bytes) -> None:
    """The weights' memory: it asserts that no burst crosses 4 KB."""
    memory, seed = job["memory"], 3 * job["seed"]
    target = Weights(image, memory["base"], memory["error_at"])
    unit = AxiSlaveRead(AxiReadBus.from_prefix(dut, "m_axi"), dut.aclk, target=target)
    every = itertools.cycle([False] + [True] * (memory["interval"] - 1))
    random_pauses = pauses(seed + 1, memory["stall"])
    both = (a or b for a, b in zip(every, random_pauses, strict=False))
    unit.r_channel.set_pause_generator(both)
    unit.ar_channel.set_pause_generator(pauses(seed, memory["stall"]))


@cocotb.test()
async def run_job(dut) -> None:
    """Send every sample, receive every class, read every register."""
    folder = Path(os.environ["RESLIF_JOB"])
    job = json.loads((folder / "job.json").read_text())
    logging.getLogger("cocotb").setLevel(logging.WARNING)  # else every frame is formatted

    Clock(dut.aclk, PERIOD, unit="step").start()
    dut.aresetn.value = 0
    registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk)
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, byte_lanes=1)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, byte_lanes=1)
    await ClockCycles(dut.aclk, 8)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    if job["control"]:
        await registers.write_dword(0x08, job["control"])
    if "memory" in job:
        connect_memory(dut, job, (folder / "weights").read_bytes())
        await registers.write_dword(0x50, job["memory"]["base"])

    if job["idle"]:
        source.set_pause_generator(pauses(2 * job["seed"], job["idle"]))
    if job["stall"]:
        sink.set_pause_generator(pauses(2 * job["seed"] + 1, job["stall"]))
    words = np.load(folder / "words.npy")
    if len(before := np.load(folder / "before.npy")):
        source.send_nowait(AxiStreamFrame(before.tolist()))
    sent: list[AxiStreamFrame] = []
    begin = time.perf_counter()
    for part in np.split(words, job["ends"]):
        source.send_nowait(AxiStreamFrame(part.tolist(), tx_complete=sent.append))
    received: list[AxiStreamFrame] = []
    try:
        for _ in range(len(job["ends"]) + 1):
            frame = await with_timeout(sink.recv(), job["timeout"] * PERIOD, "step")
            received.append(frame)
        begun, ended = sent[0].sim_time_start, received[-1].sim_time_end
        assert begun is not None
        assert ended is not None
        cycles = round((ended - begun) / PERIOD)
        values = [await registers.read_dword(address) for address in job["addresses"]]
    except SimTimeoutError:
        cycles, values = None, []
    seconds = time.perf_counter() - begin
    result = {"cycles": cycles, "received": len(received), "seconds": seconds, "registers": values}
    result["status"] = await registers.read_dword(0x0C)
    outputs = [word for frame in received for word in frame.tdata]
    np.array(outputs, np.uint32).tofile(folder / "outputs")
    (folder / "result.json").write_text(json.dumps(result))
