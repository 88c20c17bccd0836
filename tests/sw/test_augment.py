import pytest
import torch
from reslif.sw.augment import distort


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 200) -> torch.Tensor:
    return torch.randint(0, 17, (count, 64), generator=random()).float()


def test_integers_stay_integers_in_range() -> None:
    moved = distort(images(), random(), image=(8, 8), strength=1.0)
    assert moved.shape == (200, 64)
    assert torch.equal(moved, moved.round())
    assert moved.min() >= 0
    assert moved.max() <= 16


def test_no_strength_changes_nothing() -> None:
    assert torch.equal(distort(images(), random(), image=(8, 8), strength=0.0), images())


def test_the_generator_decides() -> None:
    first = distort(images(), random(1), image=(8, 8), strength=1.0)
    assert torch.equal(first, distort(images(), random(1), image=(8, 8), strength=1.0))
    assert not torch.equal(first, distort(images(), random(2), image=(8, 8), strength=1.0))


@pytest.mark.parametrize("image", [(8, 8), (4, 16)])
def test_a_dot_moves_by_no_more_than_stated(image: tuple[int, int]) -> None:
    """From the middle, where turning and scaling move nothing, only the shift is left."""
    height, width = image
    dots = torch.zeros(300, height, width)
    dots[:, height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1] = 16
    moved = distort(dots.flatten(1), random(), image=image, strength=1.0).unflatten(1, image)
    mass = moved.sum((1, 2))
    row = (moved.sum(2) * torch.arange(height)).sum(1) / mass - (height - 1) / 2
    column = (moved.sum(1) * torch.arange(width)).sum(1) / mass - (width - 1) / 2
    for offset in (row, column):
        assert 0.7 < offset.abs().max() < 1.3
        assert abs(float(offset.mean())) < 0.15
