"""Trains a network by a recipe, with validation, logs, and checkpoints to resume from."""

import contextlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow as tf

from larq_melius.files import write_atomically
from larq_melius.weights.saving import save_weights
from larq_melius.zoo.data import ImageDataset, Shard, evaluation_batches, training_batches
from larq_melius.zoo.recipes.recipe import Recipe
from larq_melius.zoo.runs import files
from larq_melius.zoo.runs.claim import claimed_folder
from larq_melius.zoo.runs.log import EpochLog, LayerFlips, write_rows
from larq_melius.zoo.training.checkpoints import Checkpoints
from larq_melius.zoo.training.distillation import load_teacher
from larq_melius.zoo.training.distribution import is_chief, worker_count
from larq_melius.zoo.training.interruption import StopRequest, TrainingStopped, explained_failures
from larq_melius.zoo.training.memory import check_memory, in_gib, step_memory
from larq_melius.zoo.training.monitoring import Progress, StepsPerExecution, TensorBoard
from larq_melius.zoo.training.network import (
    average_batchnorm_statistics,
    deployed_network,
    network_name,
    network_stem,
    precision,
    training_network,
)
from larq_melius.zoo.training.optimization import ema_weights, learning_rate, optimizer_for
from larq_melius.zoo.training.steps import FlipCounter, Steps


def train(
    recipe: Recipe,
    data: ImageDataset,
    folder: str | os.PathLike[str],
    *,
    strategy: tf.distribute.Strategy | None = None,
    resume: bool = False,
    checkpoint_steps: int = 1000,
    trust: bool = False,
) -> list[EpochLog]:
    """Trains a network by a recipe.

    Writes ``recipe.json``, ``log.csv`` (a row per epoch), ``flips.csv`` (a row per epoch and layer), ``best.keras``,
    ``last.keras``, checkpoints, and logs for TensorBoard. Several workers must share the folder.

    Args:
        recipe: The recipe.
        data: The data set.
        folder: The run's folder; must not contain a run unless ``resume`` is set.
        strategy: The devices and hosts to train on, from ``choose_strategy``; one device by default.
        resume: Whether to continue from the newest checkpoint, if there is one.
        checkpoint_steps: Steps between two checkpoints; there is also one at the end of each epoch.
        trust: Whether to load a teacher from a file that can run its own code.

    Returns:
        The log, a row per epoch.

    Raises:
        FileExistsError: If the folder contains a run and ``resume`` is not set.
        OSError: If a file cannot be read or written.
        RuntimeError: If the loss is not finite, the device runs out of memory, or another worker dies.
        TrainingStopped: If the process gets SIGTERM or Ctrl-C; set ``resume`` to continue.
        ValueError: If the recipe does not fit the data, an image cannot be decoded, or the folder contains a run of
            another recipe.
    """
    if checkpoint_steps < 1:
        raise ValueError(f"checkpoint_steps must be at least 1, got {checkpoint_steps}.")
    folder = Path(folder)
    strategy = strategy or tf.distribute.get_strategy()
    chief = is_chief(strategy)
    with claimed_folder(folder, recipe, resume=resume) if chief else contextlib.nullcontext():
        if chief:
            write_atomically(folder / files.LABELS, "".join(f"{name}\n" for name in data.classes).encode())
        if recipe.first_stage is not None:
            recipe = _second_stage(
                recipe, data, folder, strategy, resume=resume, checkpoint_steps=checkpoint_steps, trust=trust
            )
        stop = StopRequest()
        with precision(recipe.precision), explained_failures(data), stop:
            return _Run(recipe, data, folder, strategy, checkpoint_steps, stop, trust=trust).train(resume=resume)


def _second_stage(
    recipe: Recipe,
    data: ImageDataset,
    folder: Path,
    strategy: tf.distribute.Strategy,
    *,
    resume: bool,
    checkpoint_steps: int,
    trust: bool,
) -> Recipe:
    """Trains the first stage, and returns the recipe of the second, which starts from its weights."""
    folder = folder / "first_stage"
    first = replace(
        recipe,
        quantization=recipe.first_stage or recipe.quantization,
        epochs=recipe.first_stage_epochs or recipe.epochs,
        first_stage=None,
        first_stage_epochs=None,
    )
    train(first, data, folder, strategy=strategy, resume=resume, checkpoint_steps=checkpoint_steps, trust=trust)
    return replace(recipe, initial_weights=str(folder / files.LAST), first_stage=None)


@dataclass
class _RunProgress:
    """The progress of a run, which a checkpoint stores next to the variables.

    Attributes:
        epoch: Number of completed epochs.
        batch: Completed batches of the current epoch.
        seconds: Time spent on these batches.
        log: Results of the completed epochs.
        flips: Their sign flips.
    """

    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    log: list[EpochLog] = field(default_factory=list)
    flips: list[LayerFlips] = field(default_factory=list)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "_RunProgress":
        log = [EpochLog(**row) for row in saved["log"]]
        flips = [LayerFlips(**row) for row in saved["flips"]]
        return cls(saved["epoch"], saved["batch"], saved["seconds"], log, flips)


class _Run:
    """A training run in this process, which may be one of several workers."""

    def __init__(
        self,
        recipe: Recipe,
        data: ImageDataset,
        folder: Path,
        strategy: tf.distribute.Strategy,
        checkpoint_steps: int,
        stop: StopRequest,
        *,
        trust: bool,
    ) -> None:
        self._recipe = recipe
        self._data = data
        self._folder = folder
        self._checkpoint_steps = checkpoint_steps
        self._stop = stop
        self._strategy = strategy
        self._chief = is_chief(self._strategy)
        self._progress = _RunProgress()
        self._epoch_steps = _epoch_steps(recipe, data, self._strategy.num_replicas_in_sync)
        self._rate = learning_rate(recipe, self._epoch_steps)
        tf.keras.utils.set_random_seed(recipe.seed)
        with self._strategy.scope():
            self._model = training_network(recipe, data)
            # Where a GPU's memory is too small, TensorFlow says so; the system ends a process that fills the machine's.
            if not tf.config.list_physical_devices("GPU"):
                check_memory(self._model, recipe.batch_size // worker_count())
            self._optimizer = optimizer_for(recipe, self._rate)
            self._optimizer.build(self._model.trainable_variables)
            self._flips = FlipCounter(self._model, recipe.flips)
            teacher = load_teacher(recipe, data, trust=trust) if recipe.teacher is not None else None
            self._steps = Steps(self._model, self._optimizer, recipe, self._flips, teacher)
        variables = {
            "model": self._model,
            "optimizer": self._optimizer,
            "totals": self._steps.totals,
            "flips": self._flips,
        }
        self._checkpoints = Checkpoints(folder / files.CHECKPOINTS, variables, chief=self._chief)

    def train(self, *, resume: bool) -> list[EpochLog]:
        """Trains for the remaining epochs."""
        if self._chief:
            self._checkpoints.clean()
        display = Progress(self._recipe.epochs, self._epoch_steps, self._recipe.batch_size, shown=self._chief)
        display.say(self._plan())
        saved = self._checkpoints.restore(_RunProgress.from_dict, display.say) if resume else None
        if saved is not None:
            self._progress = saved
            display.say(f"Going on after {self._progress.epoch} epochs and {self._progress.batch} steps.")
            self._write_logs()
        with TensorBoard(self._folder / files.TENSORBOARD if self._chief else None) as board, display:
            while self._progress.epoch < self._recipe.epochs:
                self._train_epoch(display, board)
                row = self._finish_epoch(board)
                display.finish(row, (self._recipe.epochs - row.epoch) * row.seconds)
        return self._progress.log

    def _plan(self) -> str:
        """What is about to be trained, in one line."""
        recipe, data, replicas = self._recipe, self._data, self._strategy.num_replicas_in_sync
        memory = step_memory(self._model, recipe.batch_size // replicas)
        height, width = data.input_shape[:2]
        return (
            f"Training {network_name(recipe)} with the {network_stem(recipe, data)} stem on {data.sizes['train']:,} "
            f"images at {height}x{width} pixels: {self._epoch_steps:,} steps of {recipe.batch_size} an epoch, each of "
            f"which takes about {in_gib(memory)} of memory" + (" a device." if replicas > 1 else ".")
        )

    def _train_epoch(self, display: Progress, board: TensorBoard) -> None:
        progress = self._progress
        started = time.monotonic() - progress.seconds
        steps_per_execution = StepsPerExecution(worker_count())
        batches = iter(self._distributed(self._training_batches))
        display.start(progress.epoch + 1, progress.batch)
        while progress.batch < self._epoch_steps:
            until_checkpoint = self._checkpoint_steps - progress.batch % self._checkpoint_steps
            count = min(steps_per_execution.steps, until_checkpoint, self._epoch_steps - progress.batch)
            with steps_per_execution.timing(count):
                self._steps.train(batches, count)
            progress.batch += count
            progress.seconds = time.monotonic() - started
            loss, top1, _ = self._steps.read().means
            self._check(loss)
            display.update(count, loss, top1)
            board.steps(self._step, loss, self._rate_now())
            # A worker that stopped alone would leave the others waiting for it.
            if self._steps.any_worker(self._stop.requested):
                self._save()
                raise TrainingStopped(f"Stopped in epoch {progress.epoch + 1}; the checkpoint has all that was done.")
            if count == until_checkpoint and progress.batch < self._epoch_steps:
                self._save()

    def _finish_epoch(self, board: TensorBoard) -> EpochLog:
        progress = self._progress
        started = time.monotonic() - progress.seconds
        loss, top1, top5 = self._steps.read().means
        if self._strategy.num_replicas_in_sync > 1:
            average_batchnorm_statistics(self._model)
        with ema_weights(self._model, self._optimizer):
            val_loss, val_top1, val_top5 = self._steps.validate(self._distributed(self._validation_batches)).means
            row = EpochLog(
                model=network_name(self._recipe),
                stem=network_stem(self._recipe, self._data),
                epoch=progress.epoch + 1,
                learning_rate=self._rate_now(),
                train_top1=top1,
                train_top5=top5,
                val_top1=val_top1,
                val_top5=val_top5,
                seconds=time.monotonic() - started,
                train_loss=loss,
                val_loss=val_loss,
            )
            self._export(best=all(row.rank > earlier.rank for earlier in progress.log))
        flips = self._flips.summary(row.epoch)
        self._progress = _RunProgress(row.epoch, log=[*progress.log, row], flips=[*progress.flips, *flips])
        self._steps.reset()
        self._flips.reset()
        self._save()
        board.epoch(self._step, row, flips)
        return row

    @property
    def _step(self) -> int:
        return self._progress.epoch * self._epoch_steps + self._progress.batch

    def _rate_now(self) -> float:
        return float(self._rate(self._step))

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise RuntimeError(
                f"The loss is {loss} in epoch {self._progress.epoch + 1}: the training has diverged. Lower "
                "learning_rate or set clip_norm, and start anew; --resume goes on from the last checkpoint before this."
            )

    def _save(self) -> None:
        # The CSV logs come second, since they can be written again from the checkpoint.
        self._checkpoints.save(self._step, asdict(self._progress))
        self._write_logs()

    def _write_logs(self) -> None:
        if not self._chief:
            return
        write_rows(self._folder / files.LOG, EpochLog, self._progress.log)
        if self._recipe.flips != "none":
            write_rows(self._folder / files.FLIPS, LayerFlips, self._progress.flips)

    def _export(self, *, best: bool) -> None:
        """Writes the network in float32 and with softmax, as users load it."""
        # All workers read, because reading the statistics of batch norms averages them over the workers.
        weights = [variable.numpy() for variable in self._model.weights]
        if not self._chief:
            return
        self._deployed.set_weights(weights)
        path = save_weights(self._deployed, self._folder / files.LAST)
        if best:
            write_atomically(self._folder / files.BEST, path.read_bytes())

    @cached_property
    def _deployed(self) -> tf.keras.Model:
        return deployed_network(self._recipe, self._data)

    def _distributed(self, batches: Callable[[tf.distribute.InputContext], tf.data.Dataset]) -> Any:
        return self._strategy.distribute_datasets_from_function(batches)

    def _training_batches(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        return training_batches(
            self._data,
            augmentation=self._recipe.augmentation,
            batch_size=context.get_per_replica_batch_size(self._recipe.batch_size),
            epoch=self._progress.epoch + 1,
            seed=self._recipe.seed,
            first_batch=self._progress.batch * _local_replicas(context),
            shard=Shard(context.input_pipeline_id, context.num_input_pipelines),
            shard_by=self._recipe.shard_by,
        )

    def _validation_batches(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        return evaluation_batches(
            self._data,
            "validation",
            batch_size=context.get_per_replica_batch_size(self._recipe.batch_size),
            shard=Shard(context.input_pipeline_id, context.num_input_pipelines),
            multiple=_local_replicas(context),
        )


def _local_replicas(context: tf.distribute.InputContext) -> int:
    """Number of devices of this worker; a step takes one batch for each."""
    return context.num_replicas_in_sync // context.num_input_pipelines


def _epoch_steps(recipe: Recipe, data: ImageDataset, replicas: int) -> int:
    if recipe.xla and recipe.synchronize_batchnorm and replicas > 1:
        raise ValueError(
            "XLA cannot compile batch norms that are synchronized over devices: set one of xla and "
            "synchronize_batchnorm to false."
        )
    if recipe.batch_size % replicas:
        raise ValueError(f"batch_size must be a multiple of the {replicas} devices, got {recipe.batch_size}.")
    if recipe.batch_size > data.sizes["train"]:
        raise ValueError(
            f"batch_size must be at most {data.sizes['train']}, the number of training images, got {recipe.batch_size}."
        )
    return data.sizes["train"] // recipe.batch_size
