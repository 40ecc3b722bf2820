"""Choose the runtime and the prompts for a checkpoint, and load the classifier."""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors.numpy import load_file

import fundusd
from fundusd.domain.errors import ModelError, OutOfMemory
from fundusd.domain.inference import Release
from fundusd.model import device, prepare
from fundusd.model.checkpoint import does_not_load
from fundusd.model.classifier import Head, ZeroShotClassifier
from fundusd.model.file_integrity import WatchedFiles, part_signatures, stat_signatures
from fundusd.model.prepared_parts import PreparedParts
from fundusd.model.prompts import load_prompt_set
from fundusd.model.self_test import SelfTest, read_known_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fundusd.domain.decoding import Preprocessing
    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.device import Runtime
    from fundusd.model.file_integrity import StatSignatures
    from fundusd.model.locate import ModelChoice
    from fundusd.model.prepared_parts import Part
    from fundusd.model.prompts import PromptSet
    from fundusd.model.self_test import Backend

HEAD = "zero-shot/softmax"
_DEFAULT_SIDE = 224  # pixels, if config.json does not state it


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """The checkpoint, prompts, runtime and release of a classifier that is not loaded yet."""

    checkpoint: Checkpoint
    prompts: PromptSet
    runtime: Runtime
    release: Release
    side: int
    batch_size: int
    # of the parts found intact while torch was being imported, taken before they were hashed
    verified: Future[dict[str, StatSignatures]]
    signatures: StatSignatures  # of the checkpoint's files, once their digests were known

    def prepare(self, on_wait: Callable[[], None] = lambda: None) -> list[str]:
        """Create the missing parts and return their names.

        Raises ModelError if a part cannot be created.
        """
        names = prepare.missing(self.checkpoint, self.prompts, self.runtime)
        if names:
            prepare.prepare(self.checkpoint, self.prompts, names, on_wait)
        return names

    def load(self, *, thorough: bool = False) -> ZeroShotClassifier:
        """Map the prepared parts, run the self-test and return the classifier.

        If `thorough` is true, the test uses whole phantoms of all grades. Raises ModelRefused if
        the self-test fails, or another ModelError if the model cannot be loaded.
        """
        prepared = PreparedParts(self.checkpoint)
        names = prepare.parts(self.prompts, self.runtime.backend, self.runtime.dtype)
        # the backend imports its library while the parts are hashed
        make_backend = _backend_class(self.runtime.backend)
        known, texts, tower = (self._checked(prepared, name) for name in names)
        try:
            backend = make_backend(tower, self.runtime, self.batch_size)
            files = WatchedFiles(self.checkpoint, self.signatures, [tower])
            head = Head(**load_file(texts.path("texts.safetensors")))
            self_test = SelfTest(backend, head.logits, read_known_answers(known), self.release)
            result = self_test.quick()
            if thorough:
                result = min([result, *self_test.thorough()])
        except OutOfMemory as error:
            raise ModelError(
                error.message, hint="Free the device, or set model.device to cpu."
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
            _self_test=self_test,
            _files=files,
        )

    def _checked(self, prepared: PreparedParts, name: str) -> Part:
        """Return an intact part, recreating it first if it is damaged or missing.

        Raises ModelError if it cannot be recreated.
        """
        part = prepared.find(name)
        if part is None or not self._is_intact(part, name):
            prepare.prepare(self.checkpoint, self.prompts, [name])
            part = prepared.find(name)
        if part is None:
            raise ModelError(
                f"The prepared model in {prepared.folder} vanished.",
                hint="Make sure that no cleanup job empties that folder.",
            )
        return part

    def _is_intact(self, part: Part, name: str) -> bool:
        # a daemon may wait hours for the database, so an earlier hash counts only if the files are
        # untouched
        is_untouched = self.verified.result().get(name) == part_signatures(part)
        return is_untouched or part.is_intact()


def plan(
    checkpoint: Checkpoint,
    choice: ModelChoice,
    batch_size: int = 16,
    *,
    referable_rule: str,
    quality_gate: str,
) -> ModelPlan:
    """Choose the runtime and return the plan, with the release that follows from it.

    Raises SettingsError if a setting is invalid, or ModelError if the checkpoint or the machine
    does not fit the settings.
    """
    prompts = load_prompt_set(choice.prompts)
    side = _side(checkpoint)
    _check_side(choice.preprocessing, side)
    names = prepare.parts(prompts, choice.backend, device.likely_dtype(choice))
    verified = _start_hashing(PreparedParts(checkpoint), names)
    rules = (referable_rule, quality_gate)
    plans = []
    for runtime in device.candidates(choice):
        candidate = ModelPlan(
            checkpoint,
            prompts,
            runtime,
            _release(checkpoint, choice, prompts, runtime, rules),
            side,
            1 if choice.exact else batch_size,
            verified,
            stat_signatures(checkpoint.folder, checkpoint.files),
        )
        plans.append(candidate)
    for candidate in plans[:-1]:
        if _works(candidate):
            return candidate
    return plans[-1]


def load(
    checkpoint: Checkpoint,
    choice: ModelChoice,
    batch_size: int = 16,
    *,
    referable_rule: str,
    quality_gate: str,
) -> ZeroShotClassifier:
    """Make a plan, prepare the missing parts and return the loaded classifier.

    Raises SettingsError if a setting is invalid, or ModelError if the model cannot be loaded.
    """
    planned = plan(
        checkpoint, choice, batch_size, referable_rule=referable_rule, quality_gate=quality_gate
    )
    planned.prepare()
    return planned.load()


def _start_hashing(
    prepared: PreparedParts, names: Iterable[str]
) -> Future[dict[str, StatSignatures]]:
    """Start hashing parts in a thread, so that torch can be imported meanwhile.

    Hashing and importing each take about a second. The future yields the signatures of the intact
    parts.
    """
    signatures, parts = {}, {}
    for name in names:
        part = prepared.find(name)
        if part is not None:
            signatures[name], parts[name] = part_signatures(part), part
    pool = ThreadPoolExecutor(1, thread_name_prefix="hash")
    verified = pool.submit(
        lambda: {name: signatures[name] for name, part in parts.items() if part.is_intact()}
    )
    pool.shutdown(wait=False)
    return verified


def _works(planned: ModelPlan) -> bool:
    """Return whether the planned model can be prepared and loaded, and passes its self-test."""
    try:
        planned.prepare()
        planned.load()
    except ModelError:
        return False
    return True


def _backend_class(backend: str) -> Callable[[Part, Runtime, int], Backend]:
    if backend == "openvino":
        from fundusd.model.openvino_backend import OpenVinoBackend

        return OpenVinoBackend
    from fundusd.model.torch_backend import TorchBackend

    return TorchBackend


def _side(checkpoint: Checkpoint) -> int:
    """Return the side of the model's square input in pixels.

    Raises ModelError if config.json does not describe a vision tower.
    """
    vision = checkpoint.config.get("vision_config")
    if isinstance(vision, dict):
        side = vision.get("image_size", _DEFAULT_SIDE)
        if isinstance(side, int):
            return side
    raise does_not_load(checkpoint, "its config.json does not describe a vision tower")


def _check_side(preprocessing: Preprocessing, side: int) -> None:
    match = re.search(r"\d+$", preprocessing)
    if match is None or int(match[0]) != side:
        raise ModelError(
            f"The checkpoint needs images of {side} x {side} pixels, "
            f"but preprocessing {preprocessing.value!r} makes another size.",
            hint="Choose a checkpoint and a model.preprocessing of the same size.",
        )


def _release(
    checkpoint: Checkpoint,
    choice: ModelChoice,
    prompts: PromptSet,
    runtime: Runtime,
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
        dtype=runtime.dtype,
        runtime=str(runtime),
        program_version=fundusd.__version__,
    )
