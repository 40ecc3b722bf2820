from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import transformers
from fundusd_bench import random_checkpoint
from tests.model.model_cases import SEVERAL, SINGLE, build_tokenizer, loaded, refusal

from fundusd.model.locate import ModelChoice, find
from fundusd.model.prompts import load_prompt_set
from fundusd.model.transformers_loader import tokenize, tokenizer_of

REAL_TOKENIZER = Path(__file__).parents[3] / "shared" / "tokenizer"
needs_real_tokenizer = pytest.mark.skipif(
    not REAL_TOKENIZER.is_dir(),
    reason="the real tokenizer is not beside the project (../shared/tokenizer)",
)


@pytest.fixture(scope="session")
def lettered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny random checkpoint with a generated tokenizer, the same everywhere."""
    tokenizer = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(tokenizer)
    folder = tmp_path_factory.mktemp("lettered") / "checkpoint"
    random_checkpoint.write(folder, tiny=True, tokenizer=tokenizer)
    return folder


def prompt_file(tmp_path: Path, long: str) -> str:
    tables = [
        f'[[grade]]\ngrade = {g}\nprompts = ["mild", "{long if g == 3 else "no"}"]\n'
        for g in range(5)
    ]
    (tmp_path / "mine.toml").write_text('name = "mine"\nabout = "x"\n' + "".join(tables))
    return str(tmp_path / "mine.toml")


def test_a_prompt_that_the_model_would_cut_is_refused_by_grade_and_number(
    lettered: Path, tmp_path: Path
) -> None:
    fits = prompt_file(tmp_path, " ".join(["mild"] * 63))  # and the end-of-sentence token makes 64
    assert loaded(ModelChoice(str(lettered), prompts=fits)).release.prompt_set == "mine"

    cut = prompt_file(tmp_path, " ".join(["mild"] * 64))
    error = refusal(ModelChoice(str(lettered), prompts=cut))
    assert (
        error.message
        == "Prompt 2 of grade 3 in prompt set mine has 65 tokens, but the model reads 64."
    )


def tokens_of(folder: Path, prompts: tuple[tuple[str, ...], ...]) -> list[list[int]]:
    choice = ModelChoice(str(folder))
    config = transformers.SiglipConfig.from_pretrained(folder).text_config
    return tokenize(
        tokenizer_of(find(choice)), config, replace(load_prompt_set(SINGLE), prompts=prompts)
    )


END = "</s>"
GOLDEN = {
    "Mild diabetic Retinopathy, no.": [74, 78, 79, 73],
    "Severe (PDR) 4": [76, 65, 18, 6, 20, 65, 59],
}


def test_token_ids_are_the_golden_ones_padded_with_the_end_of_sentence(lettered: Path) -> None:
    tokens = tokens_of(lettered, tuple((prompt,) for prompt in (*GOLDEN, "no", "no", "no")))

    for ids, golden in zip(tokens, GOLDEN.values(), strict=False):
        assert ids == golden + [1] * (64 - len(golden))


@needs_real_tokenizer
def test_the_real_tokenizer_gives_its_golden_ids(tmp_path: Path) -> None:
    random_checkpoint.write(tmp_path / "checkpoint", tiny=True, tokenizer=REAL_TOKENIZER)
    golden = [3825, 262, 296, 388, 303, 331, 537, 3861, 2638]
    tokens = tokens_of(tmp_path / "checkpoint", (("Severe NPDR, (4-2-1 rule)!",), *[("no",)] * 4))

    assert tokens[0] == golden + [1] * (64 - len(golden))


@needs_real_tokenizer
@pytest.mark.parametrize("name", [SINGLE, SEVERAL])
def test_both_ways_to_tokenize_agree_on_the_shipped_prompts(tmp_path: Path, name: str) -> None:
    prompts = load_prompt_set(name).prompts
    random_checkpoint.write(tmp_path / "checkpoint", tiny=True, tokenizer=REAL_TOKENIZER)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(REAL_TOKENIZER / "tokenizer.json"), pad_token=END
    )
    flat = list(itertools.chain.from_iterable(prompts))

    assert (
        tokens_of(tmp_path / "checkpoint", prompts)
        == fast(flat, padding="max_length", max_length=64)["input_ids"]
    )
