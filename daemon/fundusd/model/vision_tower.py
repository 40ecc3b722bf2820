"""SigLIP's vision tower in plain torch, with its weights mapped and not converted.

Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023. The structure is that of
transformers' SiglipVisionModel, with query, key and value in one matrix and the pooling query
computed in advance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a tower; `side` and `patch` are in pixels."""

    side: int
    patch: int
    width: int
    hidden: int
    layers: int
    heads: int
    epsilon: float

    @property
    def patches(self) -> int:
        """Return the number of patches in an image."""
        return (self.side // self.patch) ** 2

    @property
    def probe_patches(self) -> int:
        """Return the number of patches in the first eighth of an image, for the self-test."""
        grid = self.side // self.patch
        return max(1, grid // 8) * grid


class _Layer(torch.nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm1 = torch.nn.LayerNorm(shape.width, shape.epsilon)
        self.qkv = torch.nn.Linear(shape.width, 3 * shape.width)
        self.out = torch.nn.Linear(shape.width, shape.width)
        self.norm2 = torch.nn.LayerNorm(shape.width, shape.epsilon)
        self.mlp = _Mlp(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        attended = functional.scaled_dot_product_attention(
            _by_head(query, self.heads), _by_head(key, self.heads), _by_head(value, self.heads)
        )
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class _Mlp(torch.nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = torch.nn.Linear(shape.width, shape.hidden)
        self.down = torch.nn.Linear(shape.hidden, shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = functional.gelu(self.up(x), approximate="tanh")
        return self.down(activated)  # type: ignore[no-any-return]


class _Pool(torch.nn.Module):
    """Attention pooling: one query attends to all patches."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = torch.nn.Parameter(torch.empty(1, 1, shape.width))
        self.kv = torch.nn.Linear(shape.width, 2 * shape.width)
        self.out = torch.nn.Linear(shape.width, shape.width)
        self.norm = torch.nn.LayerNorm(shape.width, shape.epsilon)
        self.mlp = _Mlp(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query = self.query.expand(x.shape[0], -1, -1)
        key, value = self.kv(x).chunk(2, dim=-1)
        attended = functional.scaled_dot_product_attention(
            _by_head(query, self.heads), _by_head(key, self.heads), _by_head(value, self.heads)
        )
        pooled = self.out(attended.transpose(1, 2).flatten(2))
        return (pooled + self.mlp(self.norm(pooled)))[:, 0]  # type: ignore[no-any-return]


def _by_head(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Reshape [b, tokens, width] to [b, heads, tokens, width / heads]."""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


class Tower(torch.nn.Module):
    """Map normalised patches [b, patches, patch * patch * 3] to pooled embeddings [b, width]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(3 * shape.patch**2, shape.width)
        self.positions = torch.nn.Parameter(torch.empty(shape.patches, shape.width))
        self.layers = torch.nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.norm = torch.nn.LayerNorm(shape.width, shape.epsilon)
        self.pool = _Pool(shape)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return the pooled embeddings of images.

        `patches` may contain only the first patches of each image, since these suffice to test
        the weights.
        """
        x = self.embed(patches) + self.positions[: patches.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.pool(self.norm(x))  # type: ignore[no-any-return]


def build(shape: Shape, weights: Mapping[str, torch.Tensor]) -> Tower:
    """Return a tower that uses `weights` without copying them.

    Raises RuntimeError if their names or shapes do not fit.
    """
    with torch.device("meta"):
        tower = Tower(shape)
    tower.load_state_dict(dict(weights), assign=True)
    return tower.eval().requires_grad_(requires_grad=False)


def to_patches(pixels: torch.Tensor, patch: int) -> torch.Tensor:
    """Cut uint8 [b, side, side, 3] into fp32 [b, patches, patch * patch * 3], scaled to -1..1."""
    batch, side = pixels.shape[:2]
    grid = side // patch
    cut = pixels.view(batch, grid, patch, grid, patch, 3).transpose(2, 3)
    return cut.reshape(batch, grid * grid, 3 * patch * patch) / 127.5 - 1
