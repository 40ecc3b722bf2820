"""The whole checkpoint taken apart: what of it is kept, written down as `run` maps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file

from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.domain.errors import ModelError
from fundusd.imaging import phantoms
from fundusd.model import self_test
from fundusd.model.transformers_loader import does_not_load, tokenize, tokenizer_of
from fundusd.model.vision_tower import Shape, build, to_patches

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.prompts import PromptSet

_KNOWN_SEED = 448
_SAME = 0.999999  # cosine of two ways to compute one thing in fp32


def shape_of(model: Any, checkpoint: Checkpoint) -> Shape:
    """Take the vision tower's sizes out of the config; raises ModelError for a tower that is not SigLIP's."""
    config = model.config.vision_config
    wanted = {"hidden_act": "gelu_pytorch_tanh", "num_channels": 3}
    for key, value in wanted.items():
        if getattr(config, key) != value:
            raise does_not_load(
                checkpoint, f"its vision tower has {key} {getattr(config, key)!r}, not {value!r}"
            )
    return Shape(
        side=config.image_size,
        patch=config.patch_size,
        width=config.hidden_size,
        hidden=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        epsilon=config.layer_norm_eps,
    )


def write_known(model: Any, shape: Shape, place: Path) -> None:
    """Write a phantom of each grade, the embeddings that transformers gives them in fp32, and one of first patches.

    The first phantom is rolled by half, so that its first rows show the middle of the retina. transformers embeds
    whole pictures only: the first patches are embedded by our own tower in fp32, once it agrees on the whole. Raises
    ModelError.
    """
    grades = sorted(Grade, key=lambda grade: grade is not Grade.MODERATE)
    rendered = [
        phantoms.render(grade, Eye.RIGHT, _KNOWN_SEED, shape.side, shape.side) for grade in grades
    ]
    pixels = torch.tensor(np.stack(rendered))
    pixels[0] = pixels[0].roll(shape.side // 2, 0)
    embeddings = torch.cat(
        [embed(model, one[None]) for one in pixels]
    )  # one by one: no more memory than for one
    if not torch.isfinite(embeddings).all():
        raise not_finite()
    tower, patches = build(shape, tower_weights(model, shape)), to_patches(pixels[:1], shape.patch)
    with torch.inference_mode():
        ours, probe = tower(patches), tower(patches[:, : shape.probed])
    if torch.nn.functional.cosine_similarity(ours, embeddings[:1]).item() < _SAME:
        raise ModelError(
            "fundusd's vision tower does not compute what transformers does with this checkpoint",
            hint="report the checkpoint's config.json and the version of transformers",
        )
    save_file({"pixels": pixels, "embeddings": embeddings, "probe": probe}, place / self_test.FILE)


def not_finite() -> ModelError:
    """Make the error for weights that give no numbers."""
    return ModelError(
        "the model answers with numbers that are not finite",
        hint="the weights are damaged, or unfit for model.dtype: try float32, then get the weights again",
    )


def embed(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Embed uint8 [b, side, side, 3] by transformers' own tower, as fp32 [b, d]: the oracle of every backend."""
    with torch.inference_mode():
        scaled = pixels.permute(0, 3, 1, 2) / 127.5 - 1
        pooled: torch.Tensor = model.vision_model(pixel_values=scaled).pooler_output
        return pooled.float()


def write_prompts(model: Any, checkpoint: Checkpoint, prompts: PromptSet, place: Path) -> None:
    """Write one unit vector per grade, fp32 [5, d], with the checkpoint's scale and bias; raises ModelError."""
    tokens = tokenize(tokenizer_of(checkpoint), model.config.text_config, prompts)
    with torch.inference_mode():
        pooled = model.get_text_features(input_ids=torch.tensor(tokens)).pooler_output
        units = torch.nn.functional.normalize(pooled, dim=-1)
        groups = torch.split(units, [len(group) for group in prompts.prompts])
        texts = torch.nn.functional.normalize(
            torch.stack([group.mean(dim=0) for group in groups]), dim=-1
        )
    head = {"texts": texts, "scale": model.logit_scale.exp(), "bias": model.logit_bias}
    if not all(torch.isfinite(tensor).all() for tensor in head.values()):
        raise not_finite()
    save_file(
        {name: tensor.detach().clone() for name, tensor in head.items()},
        place / "texts.safetensors",
    )


def write_tower(model: Any, shape: Shape, dtype: str, place: Path) -> None:
    """Write the vision tower alone, in the dtype it is served in."""
    narrow = getattr(torch, dtype)
    tensors = {
        name: tensor.to(narrow).contiguous() for name, tensor in tower_weights(model, shape).items()
    }
    save_file(tensors, place / "tower.safetensors")


def tower_weights(model: Any, shape: Shape) -> dict[str, torch.Tensor]:
    """Rename and join transformers' tensors to those of `Tower`."""
    vision = model.vision_model.state_dict()
    weights = {
        # [out, 3, patch, patch] to [out, patch * patch * 3]: a patch lies in memory row by row, RGB by RGB
        "embed.weight": vision["embeddings.patch_embedding.weight"].permute(0, 2, 3, 1).flatten(1),
        "embed.bias": vision["embeddings.patch_embedding.bias"],
        "positions": vision["embeddings.position_embedding.weight"],
        **_renamed(vision, "post_layernorm", "norm"),
    }
    for index in range(shape.layers):
        theirs, ours = f"encoder.layers.{index}", f"layers.{index}"
        for kind in ("weight", "bias"):
            parts = [vision[f"{theirs}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            weights[f"{ours}.qkv.{kind}"] = torch.cat(parts)
        weights |= _renamed(vision, f"{theirs}.self_attn.out_proj", f"{ours}.out")
        weights |= _renamed(vision, f"{theirs}.layer_norm1", f"{ours}.norm1")
        weights |= _renamed(vision, f"{theirs}.layer_norm2", f"{ours}.norm2")
        weights |= _renamed_mlp(vision, f"{theirs}.mlp", f"{ours}.mlp")
    return weights | _pool_weights(vision, shape)


def _pool_weights(vision: dict[str, torch.Tensor], shape: Shape) -> dict[str, torch.Tensor]:
    weight, bias = vision["head.attention.in_proj_weight"], vision["head.attention.in_proj_bias"]
    width = shape.width
    query = torch.nn.functional.linear(vision["head.probe"], weight[:width], bias[:width])
    return {
        "pool.query": query,
        "pool.kv.weight": weight[width:],
        "pool.kv.bias": bias[width:],
        **_renamed(vision, "head.attention.out_proj", "pool.out"),
        **_renamed(vision, "head.layernorm", "pool.norm"),
        **_renamed_mlp(vision, "head.mlp", "pool.mlp"),
    }


def _renamed(vision: dict[str, torch.Tensor], theirs: str, ours: str) -> dict[str, torch.Tensor]:
    return {f"{ours}.{kind}": vision[f"{theirs}.{kind}"] for kind in ("weight", "bias")}


def _renamed_mlp(
    vision: dict[str, torch.Tensor], theirs: str, ours: str
) -> dict[str, torch.Tensor]:
    return _renamed(vision, f"{theirs}.fc1", f"{ours}.up") | _renamed(
        vision, f"{theirs}.fc2", f"{ours}.down"
    )


def write_openvino(model: Any, shape: Shape, place: Path) -> None:
    """Write the tower as an OpenVINO model, in fp32; the runtime narrows it where asked to."""
    import openvino

    tower = build(shape, tower_weights(model, shape))
    example = to_patches(torch.zeros(1, shape.side, shape.side, 3, dtype=torch.uint8), shape.patch)
    converted = openvino.convert_model(tower, example_input=example, input=[-1, *example.shape[1:]])
    openvino.save_model(converted, place / "tower.xml", compress_to_fp16=False)
