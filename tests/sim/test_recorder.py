import numpy as np
import pytest
from reslif.sim.design import Probe
from reslif.sim.errors import SimulationError
from reslif.sim.recorder import read_records, unpack
from reslif.sw.formats import Format


def probe(form: Format, lanes: int, words: int = 1, ahead: int = 0) -> Probe:
    return Probe("n", "membrane", "top.n", "valid", "data", lanes, words, ahead, form)


def written(values, form: Format) -> np.ndarray:
    """What the simulation writes: one big integer a word, in whole little-endian 32-bit words."""
    mask = (1 << form.width) - 1
    rows = []
    for row in values.tolist():
        number = sum((value & mask) << lane * form.width for lane, value in enumerate(row))
        size = -(-len(row) * form.width // 32) * 4
        rows.append(np.frombuffer(number.to_bytes(size, "little"), np.uint8))
    return np.stack(rows)


@pytest.mark.parametrize("width", [1, 2, 7, 8, 13, 31, 32, 33, 57, 61, 62])
@pytest.mark.parametrize("signed", [True, False])
def test_unpack_reads_every_width(width, signed):
    form = Format(width, signed=signed)
    values = np.random.default_rng(width).integers(form.min, form.max, (20, 9), endpoint=True)
    values[0], values[1] = form.min, form.max
    np.testing.assert_array_equal(unpack(written(values, form), probe(form, 9)), values)


def test_records_are_arranged_by_step_and_sample(tmp_path):
    form, steps, samples, size = Format(5), 3, 4, 5
    expected = np.random.default_rng(0).integers(-16, 16, (steps, samples, size))
    padded = np.full((steps, samples, 6), 7)  # the surplus lane holds anything
    padded[:, :, :size] = expected
    rows = padded.transpose(1, 0, 2).reshape(-1, 2)
    path = tmp_path / "n.membrane.bin"
    written(rows, form).tofile(path)
    found = read_records(tmp_path, probe(form, 2, 3), size, steps, samples)
    np.testing.assert_array_equal(found, expected)

    content = path.read_bytes()
    path.write_bytes(content[:-4])
    with pytest.raises(SimulationError, match=r"probe n\.membrane recorded 35 words, must be 36"):
        read_records(tmp_path, probe(form, 2, 3), size, steps, samples)
    path.write_bytes(content + content[:8])  # the next sample's first timestep has begun
    found = read_records(tmp_path, probe(form, 2, 3, ahead=3), size, steps, samples)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(SimulationError, match=r"probe n\.membrane recorded 38 words, must be 36"):
        read_records(tmp_path, probe(form, 2, 3), size, steps, samples)
    path.write_bytes(content + content[:16])
    with pytest.raises(SimulationError, match=r"probe n\.membrane recorded 40 words, must be 36"):
        read_records(tmp_path, probe(form, 2, 3, ahead=3), size, steps, samples)

    path.write_bytes(content[:-1])
    with pytest.raises(SimulationError, match="ends within a word"):
        read_records(tmp_path, probe(form, 2, 3), size, steps, samples)
    path.unlink()
    with pytest.raises(SimulationError, match=r"probe n\.membrane wrote no record file"):
        read_records(tmp_path, probe(form, 2, 3), size, steps, samples)
