"""Export the parts of a checkpoint that `run` maps: vision tower, prompts and known answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file

from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.domain.errors import ModelError
from fundusd.imaging import phantoms
from fundusd.model.checkpoint import does_not_load
from fundusd.model.self_test import KNOWN_ANSWERS_FILE, NOT_FINITE, NOT_FINITE_HINT
from fundusd.model.transformers_loader import tokenize, tokenizer_of
from fundusd.model.vision_tower import Shape, build, to_patches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fundusd.domain.decoding import Pixels
    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.prompts import PromptSet

_KNOWN_SEED = 448
_MIN_COSINE = 0.999999  # between two fp32 implementations of the same tower


def shape_of(model: Any, checkpoint: Checkpoint) -> Shape:
    """Return the sizes of the vision tower.

    Raises ModelError if it is not SigLIP's.
    """
    config = model.config.vision_config
    required = {"hidden_act": "gelu_pytorch_tanh", "num_channels": 3}
    for key, value in required.items():
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


def _render_phantoms(side: int) -> Iterator[Pixels]:
    """Yield a phantom of each grade, moderate first."""
    for grade in sorted(Grade, key=lambda grade: grade is not Grade.MODERATE):
        yield phantoms.render(grade, Eye.RIGHT, _KNOWN_SEED, side, side)


def write_known(model: Any, shape: Shape, folder: Path) -> None:
    """Write a phantom of each grade with its embedding, and the probe.

    transformers computes the embeddings in fp32. The probe is the embedding of the first rows of
    the first phantom, which is rolled by half its height so that these rows show the middle of the
    retina. transformers embeds only whole images, so fundusd's own tower computes the probe in
    fp32, after the two have been found to agree on the whole image. Raises ModelError if they
    disagree, or if an embedding is not finite.
    """
    pixels = torch.tensor(np.stack(list(_render_phantoms(shape.side))))
    pixels[0] = pixels[0].roll(shape.side // 2, 0)
    # one at a time, to save memory
    embeddings = torch.cat([embed(model, image) for image in torch.split(pixels, 1)])
    if not torch.isfinite(embeddings).all():
        raise ModelError(NOT_FINITE, hint=NOT_FINITE_HINT)
    tower, patches = build(shape, tower_weights(model, shape)), to_patches(pixels[:1], shape.patch)
    with torch.inference_mode():
        ours, probe = tower(patches), tower(patches[:, : shape.probe_patches])
    if torch.nn.functional.cosine_similarity(ours, embeddings[:1]).item() < _MIN_COSINE:
        raise ModelError(
            "The vision towers of fundusd and transformers disagree on this checkpoint.",
            hint="Report the checkpoint's config.json and the version of transformers.",
        )
    tensors = {"pixels": pixels, "embeddings": embeddings, "probe": probe}
    save_file(tensors, folder / KNOWN_ANSWERS_FILE)


def embed(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Return the fp32 embeddings [b, d] of uint8 images [b, side, side, 3] by transformers.

    These embeddings are the reference for every backend.
    """
    with torch.inference_mode():
        scaled = pixels.permute(0, 3, 1, 2) / 127.5 - 1
        pooled: torch.Tensor = model.vision_model(pixel_values=scaled).pooler_output
        return pooled.float()


def write_prompts(model: Any, checkpoint: Checkpoint, prompts: PromptSet, folder: Path) -> None:
    """Write one unit vector per grade, fp32 [5, d], and the checkpoint's scale and bias.

    Raises ModelError if the prompts cannot be tokenized, or if a number is not finite.
    """
    tokens = tokenize(tokenizer_of(checkpoint), model.config.text_config, prompts)
    with torch.inference_mode():
        pooled = model.get_text_features(input_ids=torch.tensor(tokens)).pooler_output
        units = torch.nn.functional.normalize(pooled, dim=-1)
        groups = torch.split(units, [len(group) for group in prompts.prompts])
        means = torch.stack([group.mean(dim=0) for group in groups])
        texts = torch.nn.functional.normalize(means, dim=-1)
    scale, bias = model.logit_scale.detach().exp(), model.logit_bias.detach().clone()
    for tensor in (texts, scale, bias):
        if not torch.isfinite(tensor).all():
            raise ModelError(NOT_FINITE, hint=NOT_FINITE_HINT)
    save_file({"texts": texts, "scale": scale, "bias": bias}, folder / "texts.safetensors")


def write_tower(model: Any, shape: Shape, dtype: str, folder: Path) -> None:
    """Write the vision tower alone, in the dtype that `run` uses."""
    tensors = {}
    for name, tensor in tower_weights(model, shape).items():
        tensors[name] = tensor.to(getattr(torch, dtype)).contiguous()
    save_file(tensors, folder / "tower.safetensors")


def tower_weights(model: Any, shape: Shape) -> dict[str, torch.Tensor]:
    """Return the weights of `Tower`, made by renaming and joining transformers' tensors."""
    vision = model.vision_model.state_dict()
    weights = {
        # [out, 3, patch, patch] to [out, patch * patch * 3]: patches are stored by row, then RGB
        "embed.weight": vision["embeddings.patch_embedding.weight"].permute(0, 2, 3, 1).flatten(1),
        "embed.bias": vision["embeddings.patch_embedding.bias"],
        "positions": vision["embeddings.position_embedding.weight"],
        **_renamed(vision, "post_layernorm", "norm"),
    }
    for index in range(shape.layers):
        theirs, ours = f"encoder.layers.{index}", f"layers.{index}"
        for kind in ("weight", "bias"):
            query = vision[f"{theirs}.self_attn.q_proj.{kind}"]
            key = vision[f"{theirs}.self_attn.k_proj.{kind}"]
            value = vision[f"{theirs}.self_attn.v_proj.{kind}"]
            weights[f"{ours}.qkv.{kind}"] = torch.cat([query, key, value])
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
    return {
        f"{ours}.weight": vision[f"{theirs}.weight"],
        f"{ours}.bias": vision[f"{theirs}.bias"],
    }


def _renamed_mlp(
    vision: dict[str, torch.Tensor], theirs: str, ours: str
) -> dict[str, torch.Tensor]:
    return _renamed(vision, f"{theirs}.fc1", f"{ours}.up") | _renamed(
        vision, f"{theirs}.fc2", f"{ours}.down"
    )


def write_openvino(model: Any, shape: Shape, folder: Path) -> None:
    """Write the tower as an OpenVINO model in fp32.

    OpenVINO itself converts the model if `run` uses another dtype.
    """
    import openvino

    tower = build(shape, tower_weights(model, shape))
    example = to_patches(torch.zeros(1, shape.side, shape.side, 3, dtype=torch.uint8), shape.patch)
    converted = openvino.convert_model(tower, example_input=example, input=[-1, *example.shape[1:]])
    openvino.save_model(converted, folder / "tower.xml", compress_to_fp16=False)
