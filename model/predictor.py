"""From a patient record to a prediction and its explanation.

``load_predictor`` reads a checkpoint once; the Predictor may then be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from model.applicability import applicability, check_data, check_patient
from model.calibration import availability_pattern, risk_group
from model.checkpoint import Checkpoint, ModelInfo, TaskSpec, load_checkpoint
from model.errors import CheckpointIncompatible
from model.explain import ExplanationBudget, TokenGame, explain
from model.exported_encoder import open_encoder, own_encoder
from model.input_reference import input_reference
from model.onnx_network import OnnxNetwork
from model.prediction import Applicability, Explanation, Prediction, TaskPrediction
from model.record import Demographics, PatientRecord
from model.sentence_encoder import SentenceCache, SentenceEncoder
from model.timely_notes import TimelyEmbedding
from model.tokens import Embed, Floats, TokenArrays, tokenize

Stage = Callable[[str], AbstractContextManager[None]]  # measures what its block does


def unmeasured(_stage: str) -> AbstractContextManager[None]:
    """Measure nothing."""
    return nullcontext()


class Predictor:
    """A loaded checkpoint with its sentence encoder."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        encoder: SentenceEncoder,
        *,
        threads: int = 2,
        budget: ExplanationBudget | None = None,
        stage: Stage = unmeasured,
        explained_task: str = "",
        encoder_variant: str = "",
    ) -> None:
        """``stage`` is entered around "encode", "fuse" and "explain".

        ``explained_task`` names the task that is explained and stands first in predictions; by
        default the first of the checkpoint. ``encoder_variant`` accepts an encoder that stands in
        for that of training, such as "int8"; the version of the model then says so. Raise
        CheckpointIncompatible where training used another encoder, or knew no such task.
        """
        info = checkpoint.info
        names = [task.name for task in info.tasks]
        if explained_task and explained_task not in names:
            raise CheckpointIncompatible(
                f"{info.name} {info.version} has no task '{explained_task}' to explain; it has "
                f"{', '.join(names)}"
            )
        self.version = info.version + accepted_variant(info, encoder, encoder_variant)
        self.checkpoint = checkpoint
        self.explained = names.index(explained_task) if explained_task else 0
        self.network = OnnxNetwork(checkpoint.encode_graph, checkpoint.fuse_graph, threads=threads)
        self.encoder = encoder
        self.budget = budget or ExplanationBudget()
        self.input_reference = input_reference(checkpoint.tokens, checkpoint.normalisation)
        self._stage = stage

    def __call__(
        self, record: PatientRecord, *, deadline_s: float | None = None
    ) -> tuple[Prediction, Explanation | None]:
        """Predict every task and explain one, which stands first.

        ``deadline_s`` (on time.monotonic's clock) ends the reading of new note sentences, the
        oldest last, and the refinement of the explanation; sentences that were not read are
        named in the warnings. The explanation is None where the prediction is not applicable.
        """
        tokens, checks = self._checked(record, deadline_s)
        if not checks.applicable:
            return self._prediction(record, checks, ()), None
        with self._stage("fuse"):
            memory = self.network.encode(tokens)
            fused = self.network.fuse(memory, np.ones((1, tokens.token_count), np.bool_))
        with self._stage("explain"):
            explanation = explain(
                TokenGame(self.network, memory, task=self.explained),
                tokens,
                fused.attention,
                task=self.checkpoint.info.tasks[self.explained].name,
                budget=self.budget,
                deadline_s=deadline_s,
            )
        return self._prediction(record, checks, self._tasks(fused.logits[0], checks)), explanation

    def predict(self, record: PatientRecord) -> Prediction:
        """Return the same prediction without an explanation, which takes most of the time."""
        tokens, checks = self._checked(record, None)
        if not checks.applicable:
            return self._prediction(record, checks, ())
        visible = np.ones((1, tokens.token_count), np.bool_)
        logits = self.network.fuse(self.network.encode(tokens), visible).logits[0]
        return self._prediction(record, checks, self._tasks(logits, checks))

    def _checked(
        self, record: PatientRecord, deadline_s: float | None
    ) -> tuple[TokenArrays, Applicability]:
        """Return the tokens, and whether the model may speak about them."""
        reasons, warnings = check_patient(record)
        config = self.checkpoint.tokens
        timely = TimelyEmbedding(self.encoder, deadline_s, config.embedding_width)
        with self._stage("encode"):
            tokens = tokenize(
                record, config, no_embedding(config.embedding_width) if reasons else timely
            )
        more_reasons, more_warnings = check_data(tokens, config, self.checkpoint.applicability)
        warnings = [*warnings, *more_warnings, *timely.warnings()]
        return tokens, applicability(tokens, [*reasons, *more_reasons], warnings)

    def _tasks(self, logits: Floats, checks: Applicability) -> tuple[TaskPrediction, ...]:
        """Return every task, the explained one first; ``logits`` has one for each (tasks,)."""
        pattern = availability_pattern(checks.available)
        specs = self.checkpoint.info.tasks
        order = sorted(range(len(specs)), key=lambda place: place != self.explained)
        return tuple(self._task(specs[place], float(logits[place]), pattern) for place in order)

    def tokenize(self, record: PatientRecord) -> TokenArrays:
        """Return the tokens of a record as the model sees them."""
        return tokenize(record, self.checkpoint.tokens, self.encoder.encode)

    def logits(self, records: Sequence[PatientRecord]) -> Floats:
        """Return raw logits (records, tasks), without checks or calibration: for evaluation."""
        rows = []
        for record in records:
            tokens = self.tokenize(record)
            visible = np.ones((1, tokens.token_count), np.bool_)
            rows.append(self.network.fuse(self.network.encode(tokens), visible).logits[0])
        return np.stack(rows)

    def warm_up(self) -> None:
        """Run every graph once, so that the first request does not pay for it."""
        record = PatientRecord(Demographics("", 50.0, "other"), datetime(2000, 1, 1, tzinfo=UTC))
        self.encoder.encode(["The first sentence loads the encoder."])
        tokens = self.tokenize(record)
        self.network.fuse(self.network.encode(tokens), np.ones((64, tokens.token_count), np.bool_))

    def _task(self, spec: TaskSpec, logit: float, pattern: str) -> TaskPrediction:
        probability = self.checkpoint.calibration[spec.name].probability(logit, pattern)
        sets = self.checkpoint.conformal[spec.name]
        members = sets.members(probability, pattern)
        outcomes = (spec.no_event, spec.event)
        return TaskPrediction(
            task=spec.name,
            display=spec.outcome,
            probability=probability,
            base_rate=spec.base_rate,
            risk_group=risk_group(members),
            conformal_set=tuple(o for o, inside in zip(outcomes, members, strict=True) if inside),
            conformal_confidence=1.0 - sets.alpha,
        )

    def _prediction(
        self, record: PatientRecord, checks: Applicability, tasks: tuple[TaskPrediction, ...]
    ) -> Prediction:
        info = self.checkpoint.info
        return Prediction(
            tasks=tasks,
            applicability=checks,
            model_name=info.name,
            model_version=self.version,
            trained_on=info.trained_on,
            prediction_time=record.prediction_time,
        )


def accepted_variant(info: ModelInfo, encoder: SentenceEncoder, variant: str) -> str:
    """Return what the version of the model gets appended: "+int8" behind an encoder in int8.

    Raises CheckpointIncompatible for an encoder that neither training used nor was asked for.
    """
    found, parent = getattr(encoder, "variant", ""), getattr(encoder, "parent", "")
    whose = (
        f"{info.name} {info.version} was trained with sentence encoder '{info.sentence_encoder}'"
    )
    if info.sentence_encoder == encoder.identity:
        if variant:
            raise CheckpointIncompatible(
                f"{whose}, and this one is installed: the variant '{variant}' that was asked for is"
                " not; name its folder, or ask for none"
            )
        return ""
    if not found or parent != info.sentence_encoder:
        raise CheckpointIncompatible(f"{whose}, but '{encoder.identity}' is installed")
    if found != variant:
        raise CheckpointIncompatible(
            f"{whose}; '{encoder.identity}' is its variant '{found}', which is used only where"
            f' encoder_variant = "{found}" asks for it'
        )
    return f"+{found}"


def no_embedding(width: int) -> Embed:
    """Stand in for the encoder where only the presence of notes matters."""
    return lambda sentences: np.zeros((len(sentences), width), np.float32)


def task_names(path: str | Path) -> tuple[str, ...]:
    """Return what a checkpoint folder predicts, first task first. Raises CheckpointError."""
    return tuple(task.name for task in load_checkpoint(Path(path)).info.tasks)


def load_predictor(
    path: Path | str,
    *,
    encoder_path: Path | str | None = None,
    threads: int = 2,
    budget: ExplanationBudget | None = None,
    stage: Stage = unmeasured,
    explained_task: str = "",
    encoder_variant: str = "",
    sentence_cache: SentenceCache | None = None,
) -> Predictor:
    """Load a checkpoint folder and the sentence encoder.

    ``encoder_path`` is a folder that ``meam train --encoder`` exported, or one with the
    model.safetensors and tokenizer.json of all-MiniLM-L6-v2; by default the encoder that travels
    with the checkpoint, else the installed package. ``sentence_cache`` keeps vectors beyond this
    process. Raises ModelError subclasses.
    """
    checkpoint = load_checkpoint(Path(path))
    folder = Path(encoder_path) if encoder_path else own_encoder(Path(path))
    return Predictor(
        checkpoint,
        open_encoder(folder, threads=threads, cache=sentence_cache),
        threads=threads,
        budget=budget,
        stage=stage,
        explained_task=explained_task,
        encoder_variant=encoder_variant,
    )
