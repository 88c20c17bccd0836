"""Random distortions of training images, so that few samples go further."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .images import Shape3, to_flat, to_image


def distort(inputs: Tensor, random: torch.Generator, *, image: Shape3, strength: float) -> Tensor:
    """Flat images ``[B, n]``, each turned, scaled, sheared and shifted a little.

    At ``strength`` 1 up to 15°, 15 %, 0.15 and 1 pixel, all uniform. Bilinear, rounded: integers
    stay integers within their range.
    """
    channels, height, width = image
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
        transform, [batch, channels, height, width], align_corners=False
    )
    moved = torch.nn.functional.grid_sample(to_image(inputs, image), grid, align_corners=False)
    return to_flat(moved).round()


def side_by_side(inputs: Tensor, outer: int, inner: int) -> Tensor:
    """Clips ``[B, outer · inner · c]`` with those two exchanged: the frames of each pixel together,
    or with ``outer`` pixels and ``inner`` frames the pixels of each frame.
    """
    if 1 in (outer, inner):
        return inputs
    parts = inputs.reshape(len(inputs), outer, inner, -1)
    return parts.transpose(1, 2).reshape(len(inputs), -1)


def crop_flip(
    inputs: Tensor, random: torch.Generator, *, image: Shape3, pad: int = 2, flip: bool = True
) -> Tensor:
    """Flat images ``[B, n]``, each shifted by up to ``pad`` pixels, half of them mirrored.

    That is a random crop of the image with ``pad`` zeros around it, then, with ``flip``, left and
    right exchanged in every second image on average.
    """
    channels, height, width = image
    batch = len(inputs)
    # Where each row and column of the result comes from, in the padded image.
    down = torch.randint(0, 2 * pad + 1, (batch, 1), generator=random) + torch.arange(height)
    right = torch.randint(0, 2 * pad + 1, (batch, 1), generator=random) + torch.arange(width)
    if flip:
        mirrored = torch.rand(batch, 1, generator=random) < 0.5
        right = torch.where(mirrored, right.flip(1), right)
    pixels = inputs.reshape(batch, height, width, channels)
    padded = torch.nn.functional.pad(pixels, (0, 0, pad, pad, pad, pad))
    rows, columns = down[:, :, None], right[:, None, :]
    rows, columns = rows.to(inputs.device), columns.to(inputs.device)
    moved = padded[torch.arange(batch, device=inputs.device)[:, None, None], rows, columns]
    return moved.reshape(batch, -1)
