"""ModelPlan, load and prove the model that classifies: prepared parts, a backend, and everything after the pool in fp32."""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file

import fundusd
from fundusd.domain.errors import ModelError, OutOfMemory
from fundusd.domain.inference import Release
from fundusd.model import device, prepare
from fundusd.model.file_integrity import WatchedFiles, part_signatures, stat_signatures
from fundusd.model.prepared_parts import PreparedParts
from fundusd.model.prompts import load_prompt_set
from fundusd.model.self_test import Gate
from fundusd.model.self_test import read as read_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fundusd.domain.decoding import Pixels, Preprocessing
    from fundusd.domain.inference import Embeddings, Logits, SelfTestResult
    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.device import Runtime
    from fundusd.model.file_integrity import StatSignatures
    from fundusd.model.locate import ModelChoice
    from fundusd.model.prepared_parts import Part
    from fundusd.model.prompts import PromptSet
    from fundusd.model.self_test import Backend

HEAD = "zero-shot/softmax"
_DEFAULT_SIDE = 224  # pixels, where a config.json leaves it out


@dataclass(frozen=True, slots=True)
class _Head:
    """Everything after the pool, in fp32: bf16 logits near -18 would have steps of 0.125."""

    texts: Embeddings  # [5, d], unit length, one per grade
    scale: Embeddings  # after exp
    bias: Embeddings

    def logits(self, pooled: Embeddings) -> Logits:
        """Turn pooled embeddings [b, d] into logits [b, 5]."""
        images = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        # one by one: a product of matrices sums in another order for another number of rows
        cosines = np.stack([self.texts @ image for image in images])
        answer: Logits = cosines * self.scale + self.bias
        return answer


@dataclass(frozen=True, slots=True)
class ZeroShotClassifier:
    """A loaded model that has passed its gate; `forward_limit` captures fit one forward."""

    release: Release
    side: int
    device_name: str
    forward_limit: int
    overlaps: bool  # a second forward may be begun before the answer of the first is taken
    self_test_result: SelfTestResult  # that it passed
    _backend: Backend
    _head: _Head
    _gate: Gate
    _watched: WatchedFiles

    def embed(self, pixels: Pixels) -> Embeddings:
        """Turn uint8 [b, side, side, 3] RGB into pooled embeddings, fp32 [b, d]; raises OutOfMemory."""
        return self._backend.embed(self._checked(pixels))

    def logits(self, pixels: Pixels) -> Logits:
        """Classify uint8 [b, side, side, 3] RGB into float32 [b, 5] raw logits; raises OutOfMemory."""
        return self._head.logits(self.embed(pixels))

    def begin(self, pixels: Pixels) -> Callable[[], Logits]:
        """Start on up to `forward_limit` captures; calling what is returned waits for their logits, once."""
        answer = self._backend.begin(self._checked(pixels))
        return lambda: self._head.logits(answer())

    def run_self_test(self) -> Iterator[SelfTestResult]:
        """Answer known phantoms again, forward by forward; raises ModelRefused. One batch may be in flight."""
        return self._gate.thorough()

    def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
        """Return files of the model that were touched; raises ModelError for one that changed, or is gone."""
        return self._watched.require_unchanged(beat)

    def _checked(self, pixels: Pixels) -> Pixels:
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (self.side, self.side, 3):
            raise ValueError(f"pixels must be uint8 [b, {self.side}, {self.side}, 3]")
        return np.ascontiguousarray(pixels)


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What will classify, known before its weights are read."""

    checkpoint: Checkpoint
    prompts: PromptSet
    runtime: Runtime
    release: Release
    side: int
    batch_size: int
    whole: Future[
        dict[str, StatSignatures]
    ]  # parts whose digests held while torch was imported, as their files were before
    signs: StatSignatures  # of the checkpoint's files, when their digests were known

    def prepare(self, on_wait: Callable[[], None] = lambda: None) -> list[str]:
        """Make the parts that are missing, and return which; raises ModelError."""
        names = prepare.missing(self.checkpoint, self.prompts, self.runtime)
        if names:
            prepare.prepare(self.checkpoint, self.prompts, names, on_wait)
        return names

    def load(self, *, thorough: bool = False) -> ZeroShotClassifier:
        """Map the prepared parts and have known phantoms answered, whole ones of every grade if `thorough`.

        Raises ModelError, of which ModelRefused for wrong answers.
        """
        prepared = PreparedParts(self.checkpoint)
        names = prepare.parts(self.prompts, self.runtime.backend, self.runtime.dtype)
        make = _backend_maker(
            self.runtime.backend
        )  # imports its library while the parts are hashed
        known, texts, tower = (self._checked(prepared, name) for name in names)
        try:
            backend = make(tower, self.runtime, self.batch_size)
            watched = WatchedFiles(self.checkpoint, self.signs, [tower])
            head = _Head(**load_file(texts.path("texts.safetensors")))
            gate = Gate(backend, head.logits, read_known(known), self.release)
            result = min([gate.start(), *gate.thorough()]) if thorough else gate.start()
        except OutOfMemory as error:
            raise ModelError(
                error.message, hint="free the device, or set model.device to cpu"
            ) from error
        return ZeroShotClassifier(
            release=self.release,
            side=self.side,
            device_name=self.runtime.device_name,
            forward_limit=backend.limit,
            overlaps=backend.overlaps,
            self_test_result=result,
            _backend=backend,
            _head=head,
            _gate=gate,
            _watched=watched,
        )

    def _checked(self, prepared: PreparedParts, name: str) -> Part:
        """Return a part whose files have their digests, made anew where they have not; raises ModelError."""
        part = prepared.find(name)
        # hours may have passed since it was hashed: another daemon may have had the database
        if part is None or (
            self.whole.result().get(name) != part_signatures(part) and not part.is_intact()
        ):
            prepare.prepare(self.checkpoint, self.prompts, [name])
            part = prepared.find(name)
        if part is None:
            raise ModelError(
                f"the prepared model in {prepared.folder} vanished",
                hint="see that nothing cleans that folder",
            )
        return part


def plan(
    checkpoint: Checkpoint,
    choice: ModelChoice,
    batch_size: int = 16,
    *,
    referable_rule: str,
    quality_gate: str,
) -> ModelPlan:
    """Decide what the model runs on and which release that makes; raises ModelError, SettingsError."""
    prompts = load_prompt_set(choice.prompts)
    side = _side(checkpoint)
    _check_side(choice.preprocessing, side)
    whole = _hash_ahead(
        PreparedParts(checkpoint),
        prepare.parts(prompts, choice.backend, device.likely_dtype(choice)),
    )
    planned = [
        ModelPlan(
            checkpoint,
            prompts,
            one,
            _release(checkpoint, choice, prompts, one, (referable_rule, quality_gate)),
            side,
            1 if choice.exact else batch_size,
            whole,
            stat_signatures(checkpoint.folder, checkpoint.files),
        )
        for one in device.candidates(choice)
    ]
    return next((one for one in planned[:-1] if _works(one)), planned[-1])


def load(
    checkpoint: Checkpoint,
    choice: ModelChoice,
    batch_size: int = 16,
    *,
    referable_rule: str,
    quality_gate: str,
) -> ZeroShotClassifier:
    """ModelPlan, prepare what is missing, load; raises ModelError, SettingsError."""
    planned = plan(
        checkpoint, choice, batch_size, referable_rule=referable_rule, quality_gate=quality_gate
    )
    planned.prepare()
    return planned.load()


def _hash_ahead(prepared: PreparedParts, names: Iterable[str]) -> Future[dict[str, StatSignatures]]:
    """Check the digests of parts in a thread, while another imports torch: both take about a second."""
    found = [
        (name, part, part_signatures(part))
        for name in names
        if (part := prepared.find(name)) is not None
    ]
    pool = ThreadPoolExecutor(1, thread_name_prefix="hash")
    whole = pool.submit(lambda: {name: before for name, part, before in found if part.is_intact()})
    pool.shutdown(wait=False)
    return whole


def _works(planned: ModelPlan) -> bool:
    """Try a device that nobody asked for by name."""
    try:
        planned.prepare()
        planned.load()
    except ModelError:
        return False
    return True


def _backend_maker(backend: str) -> Callable[[Part, Runtime, int], Backend]:
    if backend == "openvino":
        from fundusd.model.openvino_backend import OpenVinoBackend

        return OpenVinoBackend
    from fundusd.model.torch_backend import TorchBackend

    return TorchBackend


def _side(checkpoint: Checkpoint) -> int:
    """Read from the config how many pixels square the model takes; raises ModelError."""
    vision = checkpoint.config.get("vision_config")
    side = vision.get("image_size", _DEFAULT_SIDE) if isinstance(vision, dict) else None
    if not isinstance(side, int):
        raise ModelError(
            f"the checkpoint in {checkpoint.folder} does not load: its config.json describes no vision tower",
            hint="config.json and weights must be of one SigLIP checkpoint; compare with: fundusd model info",
        )
    return side


def _check_side(preprocessing: Preprocessing, side: int) -> None:
    match = re.search(r"\d+$", preprocessing)
    if match is None or int(match[0]) != side:
        raise ModelError(
            f"the checkpoint takes {side} pixels square, but preprocessing {preprocessing.value!r} makes another size",
            hint="choose a checkpoint and a model.preprocessing of the same size",
        )


def _release(
    checkpoint: Checkpoint,
    choice: ModelChoice,
    prompts: PromptSet,
    chosen: Runtime,
    rules: tuple[str, str],
) -> Release:
    referable_rule, quality_gate = rules
    return Release(
        model=checkpoint.label,
        revision=checkpoint.revision,
        weights_digest=checkpoint.weights_digest,
        tokenizer_digest=checkpoint.tokenizer_digest,
        files=checkpoint.files,
        preprocessing=choice.preprocessing.value,
        prompt_set=prompts.name,
        prompt_digest=prompts.digest,
        head=HEAD,
        referable_rule=referable_rule,
        quality_gate=quality_gate,
        dtype=chosen.dtype,
        runtime=str(chosen),
        program_version=fundusd.__version__,
    )
