"""The Verilog test bench that a design folder carries, run as its header says."""

import subprocess

import numpy as np
from reslif.hw.emit import generate
from reslif.hw.folding import Fold, Folding
from reslif.sim.testbench import write_testbench
from reslif.sim.verilator import environment
from small_networks import residual


def test_it_passes_and_fails_without_python(tmp_path):
    folder, network = tmp_path, residual(1)
    generate(network, folder, Folding(Fold(4, 2)))
    samples = np.random.default_rng(0).integers(0, 2, (6, 7, 6))
    assert write_testbench(folder, network, samples).name == "tb.v"
    flags = ["--binary", "--timing", "-Wno-fatal", "-CFLAGS", "-std=c++20", "-CFLAGS", "-O0"]
    command = ["verilator", *flags, "--top-module", "tb", "tb.v", "top.v"]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["obj_dir/Vtb"], cwd=folder, check=False, capture_output=True, text=True
        )

    passed = run()
    assert passed.returncode == 0
    assert "PASS: 7 samples" in passed.stdout

    expected = folder / "expected.hex"
    right = expected.read_text()
    lines = right.splitlines()
    assert len(lines) == 7 * 4
    lines[6] = f"{int(lines[6], 16) ^ 1:09x}"
    expected.write_text("\n".join(lines))
    failed = run()
    assert failed.returncode != 0
    assert "FAIL: sample 1, word 2: expected" in failed.stdout
    assert "PASS" not in failed.stdout

    vectors = folder / "vectors.hex"  # without its last step the last sample never ends
    words = vectors.read_text().splitlines()
    expected.write_text(right)
    vectors.write_text("\n".join([*words[:-1], "000000000"]))
    stuck = run()
    assert stuck.returncode != 0
    assert "FAIL: no result for" in stuck.stdout
