"""Train the shipped test model on phantoms: `python tests/train_phantom.py --out DIR`.

Writes a folder in the file layout of google/medsiglip-448: a small `SiglipModel` with its own small
tokenizer. It learns from rendered phantoms alone, with the prompt sets in config/prompts, through
the same preprocessing as the product. In addition to the grade, every image token predicts which
lesions lie in its patch: the renderer knows them, and a small network learns that in minutes,
where grades alone would take hours. That head is discarded after training.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sentencepiece
import torch
from PIL import Image
from rich.progress import track
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn import functional
from transformers import SiglipConfig, SiglipModel, SiglipTokenizer

from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.files.package_data import folder
from fundusd.imaging import phantoms
from fundusd.imaging.preprocessing import pad_and_resize

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

NAME = "fundusd/phantom-1"
NOTICE = "trained on rendered phantoms; not for patients"
SIDE, PATCH, TOKENS = 448, 28, 64
SETS = ("icdr-descriptive", "severity-short")
BATCH, PEAK_RATE = 32, 1.5e-3
HELD_OUT_FROM = 1_000_000  # training seeds lie below
LESION_SLOTS = 200  # more than any phantom has
KINDS = list(phantoms.LesionKind)
# words that custom prompts may use; the tokenizer learns its pieces from these and the prompts
VOCABULARY = """
no mild moderate severe proliferative non-proliferative diabetic retinopathy dr npdr pdr grade
icdr microaneurysm microaneurysms haemorrhage haemorrhages hemorrhage hemorrhages exudate exudates
cotton wool spots venous beading irma neovascularisation neovascularization preretinal vitreous
retina retinal fundus photograph image optic disc macula fovea vessels eye left right normal
healthy referable abcdefghijklmnopqrstuvwxyz 0123456789
"""
PUNCTUATION = r"""[!"#$%&'()*+,\-.:;=?@\[\\\]^_`{|}~]"""


@dataclass(frozen=True, slots=True)
class Example:
    """One phantom as the model sees it; lesions [n, 4] are x, y, radius in pixels and kind."""

    pixels: Pixels
    lesions: np.ndarray[Any, Any]
    grade: int


def order(index: int, first_seed: int, *, varied: bool) -> tuple[Grade, Eye, int, int, int]:
    """Choose grade, eye, seed and size of the phantom number `index`."""
    grade, eye = Grade(index % 5), (Eye.RIGHT, Eye.LEFT)[index // 5 % 2]
    rng = np.random.default_rng([first_seed, index])
    if not varied or rng.random() < 0.4:
        return grade, eye, first_seed + index, 1440, 1080
    width = int(rng.integers(800, 1601))
    height = round(width / rng.choice([4 / 3, 3 / 2, 1.0, 1.2]))
    return grade, eye, first_seed + index, width, height


def example(wanted: tuple[Grade, Eye, int, int, int]) -> Example:
    """Render a phantom, send it through JPEG and the product's preprocessing."""
    grade, _, _, width, height = wanted
    with Image.open(BytesIO(phantoms.as_jpeg(phantoms.render(*wanted)))) as picture:
        pixels = pad_and_resize(np.asarray(picture), SIDE)
    scene = phantoms.compose(*wanted)
    side = max(width, height)
    offset = np.array([(side - width) // 2, (side - height) // 2])
    places = np.zeros((LESION_SLOTS, 4), np.float32)
    for row, lesion in zip(places, scene.lesions, strict=False):
        x, y = scene.frame.pixels(np.array([lesion.x, lesion.y])) + offset
        row[:] = x, y, lesion.radius * scene.frame.radius, KINDS.index(lesion.kind)
    places[:, :3] *= SIDE / side
    return Example(pixels, places, int(grade))


def examples(count: int, first_seed: int, *, varied: bool, title: str) -> list[Example]:
    """Render `count` phantoms on all cores."""
    orders = [order(index, first_seed, varied=varied) for index in range(count)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(track(pool.map(example, orders, chunksize=8), title, total=count))


def prompt_set(name: str) -> list[list[str]]:
    """Return the prompts of a set, per grade."""
    text = (folder("config") / "prompts" / f"{name}.toml").read_text("utf-8")
    tables = sorted(tomllib.loads(text)["grade"], key=lambda table: table["grade"])
    return [table["prompts"] for table in tables]


def write_tokenizer(out: Path) -> SiglipTokenizer:
    """Train a small sentencepiece model and write it in every form that loaders need."""
    prompts: list[str] = []
    for name in SETS:
        for of_grade in prompt_set(name):
            prompts += of_grade
    normal = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(PUNCTUATION), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    sentences = [normal.normalize_str(line) for line in [*prompts, *VOCABULARY.split()]]
    stream = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences * 4),
        model_writer=stream,
        vocab_size=384,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    (out / "spiece.model").write_bytes(stream.getvalue())
    tokenizer = SiglipTokenizer(str(out / "spiece.model"), model_max_length=TOKENS)
    tokenizer.save_pretrained(out)
    write_fast_tokenizer(out, tokenizer.sp_model, normal)
    special = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    (out / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", "utf-8")
    return tokenizer


def write_fast_tokenizer(out: Path, pieces: Any, normal: normalizers.Normalizer) -> None:
    """Write the same vocabulary as tokenizer.json."""
    ids = range(pieces.get_piece_size())
    vocabulary = [(pieces.id_to_piece(number), pieces.get_score(number)) for number in ids]
    fast = Tokenizer(models.Unigram(vocabulary, unk_id=2, byte_fallback=False))
    fast.normalizer = normal
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    fast.add_special_tokens(["</s>", "<unk>"])
    fast.save(str(out / "tokenizer.json"))


class Student(torch.nn.Module):
    """The small SigLIP, its prompts, and the head that is discarded after training."""

    def __init__(self, tokenizer: SiglipTokenizer) -> None:
        super().__init__()
        self.siglip = SiglipModel(architecture(len(tokenizer)))
        self.siglip.logit_scale.data.fill_(math.log(10))
        self.siglip.logit_bias.data.fill_(-10)  # SigLIP's start; a softmax does not move it
        self.lesion_head = torch.nn.Linear(self.siglip.config.vision_config.hidden_size, len(KINDS))
        texts: list[str] = []
        rows: list[int] = []
        for number, name in enumerate(SETS):
            for grade, prompts in enumerate(prompt_set(name)):
                texts += prompts
                rows += [grade + 5 * number] * len(prompts)
        encoded = tokenizer(texts, padding="max_length", max_length=TOKENS, return_tensors="pt")
        self.prompts: torch.Tensor = encoded["input_ids"]
        self.average = functional.one_hot(torch.tensor(rows)).float().T

    def text(self) -> torch.Tensor:
        """Embed both prompt sets, [2 x 5, width], normalised, averaged per grade, normalised."""
        each = self.siglip.text_model(self.prompts).pooler_output
        return functional.normalize(self.average @ functional.normalize(each, dim=-1), dim=-1)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Score images [b, 3, 448, 448] with both sets, [b, 2, 5], and patches, [b, t, kinds]."""
        seen = self.siglip.vision_model(pixels)
        images = functional.normalize(seen.pooler_output, dim=-1)
        logits = images @ self.text().T * self.siglip.logit_scale.exp() + self.siglip.logit_bias
        return logits.view(-1, 2, 5), self.lesion_head(seen.last_hidden_state)


def architecture(vocabulary: int) -> SiglipConfig:
    """Describe the network: MedSigLIP's shape, much smaller."""
    vision = {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    text = {
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_size": 128,
        "vocab_size": vocabulary,
        "max_position_embeddings": TOKENS,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    return SiglipConfig(text_config=text, vision_config=vision)


def augmented(
    batch: list[Example], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Flip and shift a batch; return pixels in -1..1, grades, and the lesion kinds per patch."""
    pixels = np.stack([item.pixels for item in batch])
    lesions = np.stack([item.lesions for item in batch])
    for row, places in zip(pixels, lesions, strict=True):
        for axis in (0, 1):
            if rng.random() < 0.5:
                row[:] = np.flip(row, 1 - axis)
                places[:, axis] = SIDE - places[:, axis]
            shift = int(rng.integers(-PATCH // 2, PATCH // 2 + 1))
            row[:] = np.roll(row, shift, 1 - axis)
            places[:, axis] += shift
    grades = torch.tensor([item.grade for item in batch])
    return as_input(pixels), grades, torch.from_numpy(lesions_per_patch(lesions))


def as_input(pixels: Pixels) -> torch.Tensor:
    """Bring uint8 [b, side, side, 3] to float [b, 3, side, side] in -1..1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def lesions_per_patch(lesions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mark for lesions [b, n, 4] which kinds reach well into which patch, [b, patches, kinds]."""
    middles = (np.arange(SIDE // PATCH, dtype=np.float32) + 0.5) * PATCH
    across = np.maximum(np.abs(lesions[..., 0, None] - middles) - PATCH / 2, 0)[:, :, None, :]
    down = np.maximum(np.abs(lesions[..., 1, None] - middles) - PATCH / 2, 0)[:, :, :, None]
    reached = np.hypot(across, down) < 0.7 * lesions[..., 2, None, None]
    kinds = lesions[..., 3, None] == np.arange(len(KINDS))
    marks = np.einsum(
        "bnp,bnk->bpk",
        reached.reshape(*lesions.shape[:2], -1),
        kinds,
        dtype=np.float32,
        optimize=True,
    )
    capped: np.ndarray[Any, Any] = np.minimum(marks, 1).astype(np.float32)
    return capped


def learn(student: Student, lessons: list[Example], steps: int) -> None:
    """Train; the lesion loss leads, the grades follow."""
    rng = np.random.default_rng(1)
    optimiser = torch.optim.AdamW(student.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, PEAK_RATE, total_steps=steps, pct_start=0.1
    )
    rarity = torch.full((len(KINDS),), 8.0)
    waiting: list[int] = []
    for _ in track(range(steps), "training"):
        if len(waiting) < BATCH:
            waiting = rng.permutation(len(lessons)).tolist()
        taken, waiting = waiting[:BATCH], waiting[BATCH:]
        pixels, grades, marks = augmented([lessons[i] for i in taken], rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits, patches = student(pixels)
        grading = functional.cross_entropy(
            logits.float().flatten(0, 1), grades.repeat_interleave(2)
        )
        finding = functional.binary_cross_entropy_with_logits(
            patches.float(), marks, pos_weight=rarity
        )
        optimiser.zero_grad()
        torch.autograd.backward(grading + 4 * finding)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        schedule.step()


def confusion(student: Student, held_out: list[Example], which: int) -> list[list[int]]:
    """Count true grade (row) against graded (column) with one of the prompt sets."""
    counts = [[0] * len(Grade) for _ in Grade]
    with torch.inference_mode():
        for item in held_out:
            logits, _ = student(as_input(item.pixels[None]))
            counts[item.grade][int(logits[0, which].argmax())] += 1
    return counts


def save(student: Student, out: Path) -> None:
    """Write weights in half precision, config and preprocessor as MedSigLIP's folder has them."""
    student.siglip.half().save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    preprocessor = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "SiglipProcessor",
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": SIDE, "width": SIDE},
    }
    (out / "preprocessor_config.json").write_text(
        json.dumps(preprocessor, indent=2) + "\n", "utf-8"
    )
    student.siglip.float()  # what a loader sees: half precision, widened again


def write_manifest(out: Path) -> None:
    """Write fundusd.json: name, notice, and the sha256 of every file but itself and the card."""
    files = sorted(path for path in out.iterdir() if path.name not in {"fundusd.json", "README.md"})
    digests = {path.name: sha256(path.read_bytes()).hexdigest() for path in files}
    manifest = {"name": NAME, "notice": NOTICE, "files": digests}
    (out / "fundusd.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


CARD = """# {name}

**Trained on rendered phantoms; not for patients.** This model grades images of retinas that a
program has drawn. It has never seen a real retina and contains no weights of MedSigLIP. Its purpose
is to demonstrate and test fundusd from end to end.

* Architecture: `SiglipModel` with {parameters:,} parameters, images of {side} px, patches of
  {patch} px and at most {tokens} tokens. The file layout is that of google/medsiglip-448; the
  sentencepiece vocabulary is small and specific to this model.
* Data: {lessons:,} phantoms rendered by `fundusd.imaging.phantoms` (seeds from 0, both eyes,
  800 to 1600 px). They were saved as JPEG, preprocessed with `pad-square/bilinear448`, and flipped
  and shifted at random.
* Recipe: `python tests/train_phantom.py --out DIR`, with {steps:,} steps of {batch} images. On two
  cores, training took {seconds:,.0f} s and rendering {rendering:,.0f} s. During training, an
  additional head finds the lesions in each patch; it is discarded at the end.
* Test set: {held:,} phantoms of 1440 x 1080 px with seeds from {held_from:,}, which training did
  not use.

{results}
Licence: the same as fundusd (Apache-2.0).
"""


def table(name: str, counts: list[list[int]]) -> str:
    """Render a confusion matrix for the card."""
    total = sum(map(sum, counts))
    right = sum(counts[grade][grade] for grade in Grade)
    lines = [f"Prompt set `{name}`: **{right / total:.1%} exact** ({right} of {total}).", ""]
    lines += [
        "| rendered as | " + " | ".join(grade.label for grade in Grade) + " |",
        "|---" * 6 + "|",
    ]
    lines += [f"| {grade.label} | " + " | ".join(map(str, counts[grade])) + " |" for grade in Grade]
    return "\n".join([*lines, ""])


def main() -> None:
    """Render, train, measure on held-out phantoms, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--lessons", type=int, default=2400)
    parser.add_argument("--steps", type=int, default=1100)
    parser.add_argument("--held-out", type=int, default=300)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    began = time.perf_counter()
    lessons = examples(options.lessons, 0, varied=True, title="rendering")
    rendered = time.perf_counter()
    student = Student(write_tokenizer(options.out))
    learn(student, lessons, options.steps)
    trained = time.perf_counter()
    save(student, options.out)
    held_out = examples(options.held_out, HELD_OUT_FROM, varied=False, title="held out")
    facts = {
        "name": NAME, "side": SIDE, "patch": PATCH, "tokens": TOKENS, "lessons": options.lessons,
        "steps": options.steps, "batch": BATCH,
        "rendering": rendered - began, "seconds": trained - rendered,
        "held": options.held_out, "held_from": HELD_OUT_FROM,
        "parameters": sum(weight.numel() for weight in student.siglip.parameters()),
    }  # fmt: skip
    results = "\n".join(
        table(name, confusion(student, held_out, which)) for which, name in enumerate(SETS)
    )
    (options.out / "README.md").write_text(CARD.format(results=results, **facts), "utf-8")
    write_manifest(options.out)
    print(results)


if __name__ == "__main__":
    main()
