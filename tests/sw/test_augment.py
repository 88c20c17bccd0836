import pytest
import torch
from reslif.sw.augment import crop_flip, distort
from reslif.sw.images import Shape3, to_flat, to_image


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 200) -> torch.Tensor:
    return torch.randint(0, 17, (count, 64), generator=random()).float()


def test_integers_stay_integers_in_range() -> None:
    moved = distort(images(), random(), image=(1, 8, 8), strength=1.0)
    assert moved.shape == (200, 64)
    assert torch.equal(moved, moved.round())
    assert moved.min() >= 0
    assert moved.max() <= 16


def test_no_strength_changes_nothing() -> None:
    assert torch.equal(distort(images(), random(), image=(1, 8, 8), strength=0.0), images())


def test_the_generator_decides() -> None:
    first = distort(images(), random(1), image=(1, 8, 8), strength=1.0)
    assert torch.equal(first, distort(images(), random(1), image=(1, 8, 8), strength=1.0))
    assert not torch.equal(first, distort(images(), random(2), image=(1, 8, 8), strength=1.0))


@pytest.mark.parametrize("image", [(1, 8, 8), (1, 4, 16)])
def test_a_dot_moves_by_no_more_than_stated(image: Shape3) -> None:
    """From the middle, where turning and scaling move nothing, only the shift is left."""
    _, height, width = image
    dots = torch.zeros(300, height, width)
    dots[:, height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1] = 16
    moved = distort(dots.flatten(1), random(), image=image, strength=1.0).unflatten(1, image[1:])
    mass = moved.sum((1, 2))
    row = (moved.sum(2) * torch.arange(height)).sum(1) / mass - (height - 1) / 2
    column = (moved.sum(1) * torch.arange(width)).sum(1) / mass - (width - 1) / 2
    for offset in (row, column):
        assert 0.7 < offset.abs().max() < 1.3
        assert abs(float(offset.mean())) < 0.15


@pytest.mark.parametrize("image", [(1, 6, 5), (3, 4, 7)])
@pytest.mark.parametrize("flip", [False, True])
def test_crop_flip_is_one_of_the_shifts_each_as_often(image: Shape3, flip: bool) -> None:
    """Against every crop of the padded image, mirrored or not, written out."""
    channels, height, width = image
    picture = torch.arange(1, 1 + channels * height * width).reshape(image)
    padded = torch.nn.functional.pad(picture, (1, 1, 1, 1))
    crops = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    crops += [crop.flip(-1) for crop in crops] if flip else []
    count = 200 * len(crops)
    flat = to_flat(picture).expand(count, -1).float()
    found = to_image(crop_flip(flat, random(), image=image, pad=1, flip=flip), image)
    seen = [int((found == crop).all((1, 2, 3)).sum()) for crop in crops]
    assert sum(seen) == count
    assert min(seen) > 140
    assert max(seen) < 260


def test_crop_flip_without_either_changes_nothing() -> None:
    assert torch.equal(crop_flip(images(), random(), image=(1, 8, 8), pad=0, flip=False), images())


def test_the_generator_decides_crops_and_flips() -> None:
    first = crop_flip(images(), random(1), image=(1, 8, 8))
    assert torch.equal(first, crop_flip(images(), random(1), image=(1, 8, 8)))
    assert not torch.equal(first, crop_flip(images(), random(2), image=(1, 8, 8)))


def test_distort_moves_the_colours_together() -> None:
    grey = images(20)
    moved = distort(grey, random(1), image=(1, 8, 8), strength=1.0)
    colours = torch.stack([grey, grey, grey], dim=2).flatten(1)
    found = distort(colours, random(1), image=(3, 8, 8), strength=1.0)
    assert torch.equal(found, torch.stack([moved, moved, moved], dim=2).flatten(1))
