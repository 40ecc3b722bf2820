from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import constants

from fundusd.domain.errors import ModelError
from fundusd.files import package_data
from fundusd.model.checkpoint import describe, hash_files
from fundusd.model.locate import ModelChoice, find

if TYPE_CHECKING:
    from pathlib import Path

HUB = ModelChoice("google/medsiglip-448", "0123456789abcdef" * 2 + "01234567")
CONFIG = {
    "model_type": "siglip",
    "vision_config": {"image_size": 448, "patch_size": 14},
    "text_config": {"max_position_embeddings": 64},
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def safetensors(name: str = "vision_model.w", size: int = 3) -> bytes:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            name: {"dtype": "F32", "shape": [size, 2], "data_offsets": [0, 8 * size]},
        }
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8 * size)


def whole() -> dict[str, bytes]:
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": safetensors(),
        "spiece.model": b"pieces",
        "tokenizer_config.json": b"{}",
        "preprocessor_config.json": b'{"image_mean": [0.5, 0.5, 0.5], '
        b'"image_std": [0.5, 0.5, 0.5]}',
    }


def sharded() -> dict[str, bytes]:
    files = whole()
    del files["model.safetensors"]
    index = {"weight_map": {"vision_model.w": "a.safetensors", "text_model.w": "b.safetensors"}}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    return files | {"a.safetensors": safetensors(), "b.safetensors": safetensors("text_model.w", 5)}


def folder_of(tmp_path: Path, files: dict[str, bytes]) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def manifest_of(listed: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    digests = {name: sha256(content) for name, content in listed.items()}
    manifest = {
        "name": "fundusd/phantom-1",
        "notice": "not for patients",
        "files": digests,
    } | changes
    return {"fundusd.json": json.dumps(manifest).encode()}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub" / "models--google--medsiglip-448"


def cached(cache: Path, files: dict[str, bytes], revision: str = HUB.revision) -> Path:
    """Lay out a snapshot as huggingface_hub does: links to blobs named by their digests."""
    snapshot = cache / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir(exist_ok=True)
    for name, content in files.items():
        large = not name.endswith(".json")
        git_id = hashlib.sha1(
            b"blob %d\0" % len(content) + content, usedforsecurity=False
        ).hexdigest()
        blob = cache / "blobs" / (sha256(content) if large else git_id)
        blob.write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{blob.name}")
    return snapshot


def refusal(choice: ModelChoice) -> ModelError:
    with pytest.raises(ModelError) as caught:
        find(choice)
    assert caught.value.exit_code == 69
    assert caught.value.hint
    return caught.value


def test_a_folder_without_a_manifest_is_found_and_called_unidentified(tmp_path: Path) -> None:
    files = whole()
    checkpoint = find(ModelChoice(str(folder_of(tmp_path, files))))

    assert (
        checkpoint.label
        == "folder weights (unidentified weights; not verified as google/medsiglip-448)"
    )
    assert checkpoint.files == {name: sha256(content) for name, content in files.items()}
    assert checkpoint.weights_digest == sha256(files["model.safetensors"])
    assert checkpoint.revision == checkpoint.weights_digest[:40]


def test_files_that_no_score_depends_on_stay_out_of_the_release(tmp_path: Path) -> None:
    checkpoint = find(
        ModelChoice(
            str(folder_of(tmp_path, whole() | {"README.md": b"x", "other.safetensors": b"x"}))
        )
    )

    assert checkpoint.files.keys() == whole().keys()


def test_the_tokenizer_digest_moves_with_the_tokenizer_only(tmp_path: Path) -> None:
    choice = ModelChoice(str(folder_of(tmp_path, whole())))
    first = find(choice)
    folder_of(tmp_path, {"model.safetensors": safetensors(size=4)})
    other_weights = find(choice)
    folder_of(tmp_path, {"tokenizer_config.json": b'{"do_lower_case": false}'})
    other_tokenizer = find(choice)

    lines = "".join(
        f"{name} {first.files[name]}\n" for name in ("spiece.model", "tokenizer_config.json")
    )
    assert first.tokenizer_digest == sha256(lines.encode())
    assert (
        other_weights.tokenizer_digest == first.tokenizer_digest != other_tokenizer.tokenizer_digest
    )
    assert other_weights.weights_digest == other_tokenizer.weights_digest != first.weights_digest


def test_a_sharded_checkpoint_is_digested_over_the_list_of_its_shards(tmp_path: Path) -> None:
    files = sharded()
    checkpoint = find(ModelChoice(str(folder_of(tmp_path, files))))

    lines = "".join(
        f"{name} {sha256(files[name])}\n" for name in ("a.safetensors", "b.safetensors")
    )
    assert checkpoint.weights_digest == sha256(lines.encode())
    assert "model.safetensors.index.json" in checkpoint.files


def test_a_manifest_names_the_model_and_its_notice_goes_with_the_name(tmp_path: Path) -> None:
    checkpoint = find(ModelChoice(str(folder_of(tmp_path, whole() | manifest_of(whole())))))

    assert checkpoint.label == "fundusd/phantom-1 (not for patients)"


def test_a_relative_folder_and_a_home_folder_are_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path, whole())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert (
        find(ModelChoice("weights"))
        == find(ModelChoice("./weights"))
        == find(ModelChoice("~/weights"))
    )


def test_the_phantom_is_looked_up_among_the_packaged_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path, whole() | manifest_of(whole()))
    monkeypatch.setattr(package_data, "folder", {"model/phantom": folder}.__getitem__)
    assert find(ModelChoice("phantom")).name == "fundusd/phantom-1"

    (folder / "spiece.model").unlink()
    assert "install fundusd again" in refusal(ModelChoice("phantom")).hint


def test_progress_is_told_in_bytes_and_ends_at_the_end(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"large": bytes(3 * 2**20 + 1), "small": b"12"})
    progress: list[tuple[int, int]] = []

    hash_files(folder, ["large", "small"], lambda done, total: progress.append((done, total)))

    total = 3 * 2**20 + 3
    assert progress == [
        (2**20, total),
        (2**21, total),
        (3 * 2**20, total),
        (total - 2, total),
        (total, total),
    ]


def test_describe_tells_sizes_parameters_and_files(tmp_path: Path) -> None:
    facts = describe(find(ModelChoice(str(folder_of(tmp_path, sharded())))))

    assert (facts["image_size"], facts["patch_size"], facts["max_tokens"]) == (448, 14, 64)
    assert facts["parameters"] == {"vision": 6, "text": 10, "all": 16}
    assert {"name": "spiece.model", "bytes": 6, "sha256": sha256(b"pieces")} in facts["files"]


def test_only_the_tensors_of_a_tower_count_as_its_parameters(tmp_path: Path) -> None:
    files = whole() | {"model.safetensors": safetensors("text", 5)}

    facts = describe(find(ModelChoice(str(folder_of(tmp_path, files)))))
    assert facts["parameters"] == {"vision": 0, "text": 0, "all": 10}


def test_a_cached_snapshot_is_found_at_its_pinned_revision(cache: Path) -> None:
    cached(cache, whole())
    checkpoint = find(HUB)

    assert checkpoint.label == "google/medsiglip-448"
    assert checkpoint.revision == HUB.revision
    assert checkpoint.files["config.json"] == sha256(whole()["config.json"])


def test_a_cache_without_links_is_found_too(cache: Path) -> None:
    folder = cache / "snapshots" / HUB.revision
    folder.mkdir(parents=True)
    for name, content in whole().items():
        (folder / name).write_bytes(content)

    assert find(HUB).name == "google/medsiglip-448"


@pytest.mark.parametrize("revision", ["", "main", "v1.0", "0123456", HUB.revision.upper()])
def test_a_hub_id_without_a_commit_is_refused_and_the_commits_at_hand_are_named(
    cache: Path, revision: str
) -> None:
    cached(cache, whole())
    error = refusal(replace(HUB, revision=revision))

    assert "exact version" in error.message
    assert f"of a commit. This machine has: {HUB.revision}. All commits are listed at" in error.hint
    assert "google/medsiglip-448/commits/main" in error.hint


def test_a_model_that_is_not_downloaded_is_answered_with_the_command_that_downloads_it(
    cache: Path,
) -> None:
    error = refusal(HUB)

    assert "not downloaded" in error.message
    assert "fundusd model download" in error.hint


def test_a_model_that_is_here_in_another_revision_is_said_to_be(cache: Path) -> None:
    cached(cache, whole(), revision="f" * 40)
    error = refusal(HUB)

    assert "another revision" in error.message
    assert "f" * 40 in error.message


def test_a_download_that_never_got_to_a_snapshot_is_incomplete(cache: Path) -> None:
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / "abc.incomplete").write_bytes(b"x")

    assert "is incomplete" in refusal(HUB).message


def test_a_link_whose_blob_did_not_arrive_is_incomplete(cache: Path) -> None:
    snapshot = cached(cache, whole())
    (snapshot / "model.safetensors").resolve().unlink()
    error = refusal(HUB)

    assert "model.safetensors is missing" in error.message
    assert "fundusd model download" in error.hint


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer_config.json"])
def test_a_blob_that_is_not_what_its_name_says_has_the_wrong_digest(cache: Path, name: str) -> None:
    blob = (cached(cache, whole()) / name).resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    error = refusal(HUB)

    assert f"Wrong digest: {name}" in error.message
    assert f"rm {blob}" in error.hint


@pytest.mark.parametrize(
    ("cut", "sentence"),
    [(0, "is empty"), (5, "is truncated"), (60, "is truncated"), (-1, "is truncated")],
)
def test_weights_that_are_cut_short_are_seen_before_anything_is_hashed(
    cache: Path, cut: int, sentence: str
) -> None:
    blob = (cached(cache, whole()) / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:cut])
    error = refusal(HUB)

    assert sentence in error.message
    assert f"rm {blob} && fundusd model download" in error.hint


@pytest.mark.parametrize(
    "weights",
    [safetensors() + b"x", (12).to_bytes(8, "little") + b'{"a": "text"}', b"\2" + bytes(8)],
)
def test_weights_that_are_no_safetensors_file_are_refused(tmp_path: Path, weights: bytes) -> None:
    folder = folder_of(tmp_path, whole() | {"model.safetensors": weights})

    assert "not a safetensors file" in refusal(ModelChoice(str(folder))).message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "spiece.model"])
def test_a_folder_without_one_of_the_files_is_incomplete(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path, whole())
    (folder / name).unlink()

    assert f"{name} is missing" in refusal(ModelChoice(str(folder))).message


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, sharded())
    (folder / "b.safetensors").unlink()

    assert "b.safetensors is missing" in refusal(ModelChoice(str(folder))).message


@pytest.mark.parametrize(
    "index",
    [b"{}", b'{"weight_map": {"a": "../../etc/a.safetensors"}}', b'{"weight_map": {"a": 1}}'],
)
def test_an_index_that_names_no_shards_of_this_folder_is_damaged(
    tmp_path: Path, index: bytes
) -> None:
    folder = folder_of(tmp_path, sharded() | {"model.safetensors.index.json": index})

    assert "does not list safetensors files" in refusal(ModelChoice(str(folder))).message


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, whole() | {"pytorch_model.bin": b"x"})
    (folder / "model.safetensors").unlink()
    error = refusal(ModelChoice(str(folder)))

    assert ".bin" in error.message
    assert "safetensors only" in error.hint


@pytest.mark.parametrize("config", [b'{"model_type": "clip"}', b"{}"])
def test_another_architecture_is_not_a_siglip_checkpoint(tmp_path: Path, config: bytes) -> None:
    folder = folder_of(tmp_path, whole() | {"config.json": config})

    assert "not a SigLIP checkpoint" in refusal(ModelChoice(str(folder))).message


@pytest.mark.parametrize(
    ("config", "sentence"), [(b"{", "not valid JSON"), (b"[]", "not a JSON object")]
)
def test_a_config_that_is_no_json_object_is_damaged(
    tmp_path: Path, config: bytes, sentence: str
) -> None:
    folder = folder_of(tmp_path, whole() | {"config.json": config})

    assert sentence in refusal(ModelChoice(str(folder))).message


def test_an_adapter_beside_the_weights_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, whole() | {"adapter_config.json": b"{}"})

    assert "adapter" in refusal(ModelChoice(str(folder))).message


def test_a_checkpoint_that_wants_another_normalisation_is_refused(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path, whole() | {"preprocessor_config.json": b'{"image_mean": [0.48, 0.45, 0.4]}'}
    )

    assert "image_mean" in refusal(ModelChoice(str(folder))).message


def test_a_checkpoint_without_a_preprocessor_config_is_found(tmp_path: Path) -> None:
    files = whole()
    del files["preprocessor_config.json"]

    assert (
        "preprocessor_config.json" not in find(ModelChoice(str(folder_of(tmp_path, files)))).files
    )


@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer_config.json"])
def test_a_file_that_differs_from_its_manifest_has_the_wrong_digest(
    tmp_path: Path, changed: str
) -> None:
    files = whole() | manifest_of(whole() | {changed: b"another"})

    assert (
        f"Wrong digest: {changed}" in refusal(ModelChoice(str(folder_of(tmp_path, files)))).message
    )


def test_a_file_that_the_manifest_does_not_list_cannot_borrow_its_name(tmp_path: Path) -> None:
    files = whole() | manifest_of(whole()) | {"added_tokens.json": b"{}"}

    assert (
        "Wrong digest: added_tokens.json"
        in refusal(ModelChoice(str(folder_of(tmp_path, files)))).message
    )


def test_a_file_that_only_the_manifest_knows_is_missing(tmp_path: Path) -> None:
    files = whole() | manifest_of(whole() | {"special_tokens_map.json": b"{}"})

    assert (
        "special_tokens_map.json is missing"
        in refusal(ModelChoice(str(folder_of(tmp_path, files)))).message
    )


@pytest.mark.parametrize("changes", [{"notice": ""}, {"name": None}, {"files": []}])
def test_a_manifest_must_give_name_notice_and_digests(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = folder_of(tmp_path, whole() | manifest_of(whole(), **changes))

    assert "must contain a name, a notice" in refusal(ModelChoice(str(folder))).message


def test_weights_other_than_the_pinned_ones_are_refused(tmp_path: Path) -> None:
    choice = ModelChoice(str(folder_of(tmp_path, whole())))
    right = find(choice).weights_digest

    assert find(replace(choice, weights_digest=right)).weights_digest == right
    error = refusal(replace(choice, weights_digest="0" * 64))
    assert "Wrong digest" in error.message
    assert right in error.hint


def test_a_revision_cannot_pin_a_folder(tmp_path: Path) -> None:
    choice = ModelChoice(str(folder_of(tmp_path, whole())))

    assert find(replace(choice, revision=find(choice).revision)) == find(choice)
    assert "model.weights_digest" in refusal(replace(choice, revision=HUB.revision)).hint


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    assert "There is no folder" in refusal(ModelChoice(str(tmp_path / "none"))).message


@pytest.mark.parametrize("source", ["medsiglip", "a/b/c", "", "google/med siglip"])
def test_a_source_that_is_nothing_we_know_is_refused(source: str) -> None:
    assert "not a hub id, not a folder" in refusal(ModelChoice(source)).message


def test_neither_torch_nor_transformers_is_imported_before_a_model_is_loaded() -> None:
    program = (
        "import sys, fundusd.model.locate, fundusd.model.prompts, fundusd.model.download\n"
        "sys.exit(len({'torch', 'transformers'} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
