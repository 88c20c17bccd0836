"""The cocotb test bench of a generated top: AXI4-Stream in and out, AXI4-Lite for the registers.

Runs inside the simulator (started by :mod:`.cocotb_run`), reads its job from the folder named by
the environment and leaves its results there. The only Python per cycle is that of the two stream
drivers; probes are recorded by the simulation itself and compared after the run.
"""

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

    if job["idle"]:
        source.set_pause_generator(pauses(2 * job["seed"], job["idle"]))
    if job["stall"]:
        sink.set_pause_generator(pauses(2 * job["seed"] + 1, job["stall"]))
    words = np.load(folder / "words.npy")
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
    outputs = [word for frame in received for word in frame.tdata]
    np.array(outputs, np.uint32).tofile(folder / "outputs")
    (folder / "result.json").write_text(json.dumps(result))
