"""Random distortions of training images, so that few samples go further."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def distort(
    inputs: Tensor, random: torch.Generator, *, image: tuple[int, int], strength: float
) -> Tensor:
    """Images ``[B, height·width]``, each turned, scaled, sheared and shifted a little.

    At ``strength`` 1 up to 15°, 15 %, 0.15 and 1 pixel, all uniform. Bilinear, rounded: integers
    stay integers within their range.
    """
    height, width = image
    batch = len(inputs)

    def uniform(limit: float) -> Tensor:
        sample = torch.rand(batch, generator=random) * 2 - 1
        return sample * (limit * strength)

    angle, shear = uniform(math.radians(15)), uniform(0.15)
    scale_x, scale_y = 1 + uniform(0.15), 1 + uniform(0.15)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # Rows of the inverse map, in affine_grid's coordinates: the image spans -1 to 1.
    transform = torch.stack(
        [
            torch.stack(
                [cos * scale_x, (shear - sin) * scale_x * height / width, uniform(2 / width)], dim=1
            ),
            torch.stack(
                [sin * scale_y * width / height, cos * scale_y, uniform(2 / height)], dim=1
            ),
        ],
        dim=1,
    ).to(inputs)
    grid = torch.nn.functional.affine_grid(
        transform, [batch, 1, height, width], align_corners=False
    )
    images = inputs.unflatten(1, (1, height, width))
    moved = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    return moved.flatten(1).round()
