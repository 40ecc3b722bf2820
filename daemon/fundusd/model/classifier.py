"""Plan, load and prove the model that classifies: prepared parts, a backend, and everything after the pool in fp32."""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from safetensors.numpy import load_file

import fundusd
from fundusd.domain import Release
from fundusd.errors import ModelError, OutOfMemory
from fundusd.model import preparing, runtime
from fundusd.model.cache import Prepared
from fundusd.model.prompts import load_prompt_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fundusd.domain import Embeddings, Logits, Pixels, Preprocessing
    from fundusd.model.cache import Part
    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.prompts import PromptSet
    from fundusd.model.runtime import Runtime
    from fundusd.model.source import ModelChoice

HEAD = "zero-shot/softmax"
_DEFAULT_SIDE = 224  # pixels, where a config.json leaves it out
# cosine to transformers' own fp32 embedding; two phantoms of a random checkpoint differ by more
_NEAREST = {"float32": 0.999999, "bfloat16": 0.9999}


class Backend(Protocol):
    """What computes the vision tower."""

    @property
    def limit(self) -> int:
        """Return how many pictures one forward should take at most."""
        ...

    @property
    def overlaps(self) -> bool:
        """Tell whether a second batch may be begun while the first is computed."""
        ...

    @property
    def probes(self) -> bool:
        """Tell whether the first rows of a picture suffice to prove it."""
        ...

    def embed(self, pixels: Pixels) -> Embeddings:
        """Turn uint8 [b, side, side, 3] into pooled embeddings, fp32 [b, d]; raises OutOfMemory."""
        ...

    def begin(self, pixels: Pixels) -> Callable[[], Embeddings]:
        """Start to embed up to `limit` pictures; the answer is waited for by calling what is returned, once."""
        ...

    def probe(self, pixels: Pixels) -> Embeddings:
        """Embed only the first rows of each picture."""
        ...


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
    _backend: Backend
    _head: _Head

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

    def _checked(self, pixels: Pixels) -> Pixels:
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (self.side, self.side, 3):
            raise ValueError(f"pixels must be uint8 [b, {self.side}, {self.side}, 3]")
        return np.ascontiguousarray(pixels)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will classify, known before its weights are read."""

    checkpoint: Checkpoint
    prompts: PromptSet
    runtime: Runtime
    release: Release
    side: int
    batch_size: int
    whole: Future[set[str]]  # parts whose digests were checked while torch was imported

    def prepare(self, on_wait: Callable[[], None] = lambda: None) -> list[str]:
        """Make the parts that are missing, and return which; raises ModelError."""
        names = preparing.missing(self.checkpoint, self.prompts, self.runtime)
        if names:
            preparing.prepare(self.checkpoint, self.prompts, names, on_wait)
        return names

    def load(self, *, thorough: bool = False) -> ZeroShotClassifier:
        """Map the prepared parts and compare with the golden embeddings; raises ModelError.

        A CPU is proven by an eighth of a picture, which is soon done and touches every weight; `thorough` takes
        the whole one there too.
        """
        prepared = Prepared(self.checkpoint)
        names = preparing.parts(self.prompts, self.runtime.backend, self.runtime.dtype)
        make = _backend_maker(self.runtime.backend)  # imports its library while the parts are hashed
        golden, texts, tower = (self._checked(prepared, name) for name in names)
        try:
            backend = make(tower, self.runtime, self.batch_size)
            classifier = ZeroShotClassifier(
                release=self.release,
                side=self.side,
                device_name=self.runtime.device_name,
                forward_limit=backend.limit,
                overlaps=backend.overlaps,
                _backend=backend,
                _head=_Head(**load_file(texts.path("texts.safetensors"))),
            )
            _pass_gate(classifier, golden, thorough=thorough)
        except OutOfMemory as error:
            raise ModelError(error.message, hint="free the device, or set model.device to cpu") from error
        return classifier

    def _checked(self, prepared: Prepared, name: str) -> Part:
        """Return a part whose files have their digests, made anew where they have not; raises ModelError."""
        part = prepared.find(name)
        if part is None or (name not in self.whole.result() and not part.is_whole()):
            preparing.prepare(self.checkpoint, self.prompts, [name])
            part = prepared.find(name)
        if part is None:
            raise ModelError(
                f"the prepared model in {prepared.folder} vanished", hint="see that nothing cleans that folder"
            )
        return part


def plan(
    checkpoint: Checkpoint,
    choice: ModelChoice,
    batch_size: int = 16,
    *,
    referable_rule: str,
    quality_gate: str,
) -> Plan:
    """Decide what the model runs on and which release that makes; raises ModelError, SettingsError."""
    prompts = load_prompt_set(choice.prompts)
    side = _side(checkpoint)
    _check_side(choice.preprocessing, side)
    whole = _hash_ahead(Prepared(checkpoint), preparing.parts(prompts, choice.backend, runtime.likely_dtype(choice)))
    planned = [
        Plan(
            checkpoint,
            prompts,
            one,
            _release(checkpoint, choice, prompts, one, (referable_rule, quality_gate)),
            side,
            1 if choice.exact else batch_size,
            whole,
        )
        for one in runtime.candidates(choice)
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
    """Plan, prepare what is missing, load; raises ModelError, SettingsError."""
    planned = plan(checkpoint, choice, batch_size, referable_rule=referable_rule, quality_gate=quality_gate)
    planned.prepare()
    return planned.load()


def _hash_ahead(prepared: Prepared, names: Iterable[str]) -> Future[set[str]]:
    """Check the digests of parts in a thread, while another imports torch: both take about a second."""
    with_digests = [(name, part) for name in names if (part := prepared.find(name)) is not None]
    pool = ThreadPoolExecutor(1, thread_name_prefix="hash")
    whole = pool.submit(lambda: {name for name, part in with_digests if part.is_whole()})
    pool.shutdown(wait=False)
    return whole


def _works(planned: Plan) -> bool:
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


def _pass_gate(classifier: ZeroShotClassifier, golden: Part, *, thorough: bool) -> None:
    """Compare with the golden embeddings at every batch size: wrong kernels, files and graphs show here.

    It warms up what serves later, too. Raises ModelError.
    """
    known = load_file(golden.path("golden.safetensors"))
    backend, pixels = classifier._backend, known["pixels"]  # noqa: SLF001  ours
    if backend.probes and not thorough:
        _compare(backend.probe(pixels)[0], known["probe"][0], classifier.release)
        return
    limit = classifier.forward_limit
    for size in sorted({limit} | {2**power for power in range(limit.bit_length())}):
        for embedding in classifier.embed(np.repeat(pixels, size, axis=0)):
            _compare(embedding, known["embedding"][0], classifier.release)
    if backend.overlaps:
        _compare_in_flight(classifier, pixels)


def _compare_in_flight(classifier: ZeroShotClassifier, pixels: Pixels) -> None:
    """See that two batches on their way at once get their own answers: nothing else would show a swap."""
    upside_down = np.ascontiguousarray(pixels[:, ::-1])
    expected = [classifier.embed(one)[0] for one in (pixels, upside_down)]
    flying = [classifier._backend.begin(one) for one in (pixels, upside_down)]  # noqa: SLF001  ours
    for answer, embedding in zip(flying, expected, strict=True):
        _compare(answer()[0], embedding, classifier.release)


def _compare(embedding: Embeddings, expected: Embeddings, release: Release) -> None:
    if not np.isfinite(embedding).all():
        raise ModelError(
            "the model answers with numbers that are not finite",
            hint="the weights are damaged, or unfit for model.dtype: try float32, then get the weights again",
        )
    near = float(embedding @ expected / (np.linalg.norm(embedding) * np.linalg.norm(expected)))
    if near < _NEAREST[release.dtype]:
        raise ModelError(
            f"{release.runtime} in {release.dtype} does not compute what the model is: its answer to a known picture "
            f"has cosine {near:.7f} to the right one, wanted {_NEAREST[release.dtype]}",
            hint="set model.dtype to float32 or model.device to cpu; if that helps, report the driver and its version",
        )


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
    checkpoint: Checkpoint, choice: ModelChoice, prompts: PromptSet, chosen: Runtime, rules: tuple[str, str]
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
