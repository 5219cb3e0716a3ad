"""Training runs: what they write, and that they come to the same numbers however they get there."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import larq_melius
from larq_melius.zoo.data import load_data
from larq_melius.zoo.recipes import Recipe, load_recipe
from larq_melius.zoo.runs.log import EpochLog, LayerFlips, read_rows
from larq_melius.zoo.training.distribution import cluster_from_slurm
from larq_melius.zoo.training.trainer import train

COMMAND = Path(sys.executable).with_name("larq-melius")
#: What is timed cannot be the same twice.
TIMED = ("seconds",)


#: A network that TensorFlow traces in a second.
SMALL = ("model=MeliusNet", 'architecture={"num_blocks": [1, 1], "transition_filters": [64]}', "stem=thumbnail")


def recipe(*settings: str) -> Recipe:
    return load_recipe("MeliusNetTiny", settings=["epochs=2", "warmup_epochs=0", "flips=all", *SMALL, *settings])


def small_network(**options: Any) -> tf.keras.Model:
    return larq_melius.MeliusNet([1, 1], [64], stem="thumbnail", input_shape=(8, 8, 1), classes=10, **options)


@pytest.fixture(scope="module")
def digits() -> Any:
    return load_data("digits")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three epochs, made by the command line."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = subprocess.run(command(folder), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


def command(folder: Path, *more: object) -> list[str]:
    run = ["train", "meliusnettiny", "--epochs", 3, "--set", "flips=all", "--checkpoint-steps", 5, "-o", folder, *more]
    return [str(COMMAND), *map(str, run)]


def assert_close(ours: list[dict[str, Any]], others: list[dict[str, Any]], tolerance: float) -> None:
    for mine, other in zip(ours, others, strict=True):
        assert mine.keys() == other.keys()
        for key, value in mine.items():
            assert value == other[key] if isinstance(value, str) else value == pytest.approx(other[key], rel=tolerance)


def numbers(folder: Path) -> list[dict[str, Any]]:
    rows = [asdict(row) for row in read_rows(folder / "log.csv", EpochLog)]
    return [{key: value for key, value in row.items() if key not in TIMED} for row in rows]


def test_files_of_a_run(uninterrupted) -> None:
    header = (uninterrupted / "log.csv").read_text().splitlines()[0]
    assert header.startswith("model,stem,epoch,learning_rate,train_top1,train_top5,val_top1,val_top5,seconds")
    log = read_rows(uninterrupted / "log.csv", EpochLog)
    assert [row.epoch for row in log] == [1, 2, 3]
    assert [(row.model, row.stem) for row in log] == [("MeliusNetTiny", "thumbnail")] * 3
    assert log[-1].learning_rate == 0
    assert log[-1].val_top1 > 0.9
    assert Recipe.from_json((uninterrupted / "recipe.json").read_text()).epochs == 3
    assert list(uninterrupted.glob("tensorboard/events*"))
    assert len(list(uninterrupted.glob("checkpoints/step-*"))) == 2


def test_best_network_scores_what_the_log_says(uninterrupted, digits) -> None:
    log = read_rows(uninterrupted / "log.csv", EpochLog)
    best = max(log, key=lambda row: (row.val_top1, -row.val_loss))
    images, labels = digits.source._splits["validation"]
    for model in (
        tf.keras.models.load_model(uninterrupted / "best.keras"),
        larq_melius.MeliusNetTiny(weights=uninterrupted / "best.keras"),
    ):
        probabilities = model.predict(digits.preprocessing.normalize(images), verbose=0)
        assert (probabilities.argmax(1) == labels).mean() == pytest.approx(best.val_top1)
        loss = tf.keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        assert np.mean(loss) == pytest.approx(best.val_loss, rel=1e-5)


def test_flips_are_those_of_the_weights(tmp_path, digits) -> None:
    """One step of training is one chance to flip, so the counts of an epoch of one step tell the weights before."""
    one_step = recipe("epochs=1", "batch_size=1000", "learning_rate=0.05", "optimizer=sgd", "momentum=0")
    train(one_step, digits, tmp_path / "run")
    rows = read_rows(tmp_path / "run" / "flips.csv", LayerFlips)
    tf.keras.utils.set_random_seed(one_step.seed)
    before = small_network()
    after = tf.keras.models.load_model(tmp_path / "run" / "last.keras")
    assert len(rows) == 4
    for row in rows:
        old, new = (model.get_layer(row.layer).get_weights()[0] for model in (before, after))
        flipped = ((old >= 0) != (new >= 0)).astype(int)
        assert row.weights == flipped.size
        assert row.mean == pytest.approx(flipped.mean())
        assert row.largest == flipped.max() == 1
        assert row.p99 == np.percentile(flipped, 99)


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.001)


@pytest.mark.parametrize("moment", ["in an epoch", "while a checkpoint is written"])
def test_killed_run_goes_on_to_the_same_numbers(moment, uninterrupted, tmp_path) -> None:
    folder = tmp_path / "run"
    checkpoints = folder / "checkpoints"
    process = subprocess.Popen(command(folder), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True)
    if moment == "in an epoch":
        wait_for(lambda: list(checkpoints.glob("step-0000000043")), process)
    else:
        # A half-written checkpoint has a hidden name.
        wait_for(lambda: list(checkpoints.glob("step-0000000033")), process)
        wait_for(lambda: list(checkpoints.glob(".step-*/state*")), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(numbers(folder)) < 3
    result = subprocess.run(command(folder, "--resume"), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Going on after 1 epochs and" in result.stderr
    assert numbers(folder) == numbers(uninterrupted)
    assert (folder / "flips.csv").read_text() == (uninterrupted / "flips.csv").read_text()
    assert not list(checkpoints.glob(".*"))
    ours, others = (tf.keras.models.load_model(path / "last.keras") for path in (folder, uninterrupted))
    for mine, other in zip(ours.get_weights(), others.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_terminated_run_saves_and_says_how_to_go_on(uninterrupted, tmp_path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(command(folder), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_for(lambda: list((folder / "checkpoints").glob("step-*")), process)
    process.terminate()
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.splitlines()[-1].endswith("Run the command again with --resume to go on.")
    subprocess.run(command(folder, "--resume"), capture_output=True, check=True)
    assert numbers(folder) == numbers(uninterrupted)


def test_finished_run_has_nothing_left_to_do(uninterrupted) -> None:
    before = (uninterrupted / "log.csv").read_text()
    result = subprocess.run(command(uninterrupted, "--resume"), capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert result.stdout.startswith("Best: ")
    assert (uninterrupted / "log.csv").read_text() == before


def test_damaged_checkpoint_is_named(uninterrupted, tmp_path, digits) -> None:
    train(recipe("epochs=1"), digits, tmp_path / "run")
    (data,) = (tmp_path / "run/checkpoints/step-0000000033").glob("state.data*")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ValueError, match="step-0000000033 is damaged"):
        train(recipe("epochs=1"), digits, tmp_path / "run", resume=True)


def test_folder_of_another_run_is_left_alone(tmp_path, digits) -> None:
    folder = tmp_path / "run"
    train(recipe("epochs=1"), digits, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match="pass --resume"):
        train(recipe("epochs=1"), digits, folder)
    with pytest.raises(ValueError, match=r"another recipe: epochs \(1, not 2\), seed \(1, not 2\)\."):
        train(recipe("seed=2"), digits, folder, resume=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["batch_size=1078"], "batch_size must be at most 1077, the number of training images"),
        (["stem=grouped"], "too small for the grouped stem"),
        (["augmentation=blur"], "Unknown augmentation 'blur'"),
        (["augmentation=imagenet_color"], "these have 1 channels"),
        (["shard_by=files", "batch_size=32"], None),
        (["optimizer=sgd", "epsilon=0.1"], "sgd has no epsilon"),
        (["teacher=none.keras"], "There is no teacher none.keras"),
        (["teacher=MeliusNet42"], "There are no 'imagenet' weights for MeliusNet42"),
        (["initial_weights=none.h5"], "There is no weight file none.h5"),
        (["model=MeliusNet22"], "model must be MeliusNet or ResNetE"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_get_one_line(settings, message, tmp_path, digits) -> None:
    if message is None:
        assert train(recipe("epochs=1", *settings), digits, tmp_path / "run")
        return
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        train(recipe(*settings), digits, tmp_path / "run")
    assert message in str(error.value)


def test_diverged_training_stops(tmp_path, digits) -> None:
    wild = recipe("optimizer=sgd", "learning_rate=3e38", "schedule=constant", "quantization=float")
    with pytest.raises(RuntimeError, match=r"The loss is \S+ in epoch 1: the training has diverged\."):
        train(wild, digits, tmp_path / "run")
    assert not list((tmp_path / "run").glob("checkpoints/step*"))


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, digits, monkeypatch) -> None:
    from larq_melius.zoo.training import checkpoints

    def full(folder: Path) -> None:
        if folder.name.startswith(".step-0000000010"):
            raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr(checkpoints, "_flush", full)
    with pytest.raises(OSError, match="No space left"):
        train(recipe(), digits, tmp_path / "run", checkpoint_steps=5)
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-0000000005"]


def test_moving_average_is_what_is_evaluated_and_exported(tmp_path, digits) -> None:
    averaged = recipe("epochs=1", "ema_momentum=0.9", "learning_rate=0.002")
    train(averaged, digits, tmp_path / "averaged")
    (plain,) = train(recipe("epochs=1"), digits, tmp_path / "plain")
    (row,) = read_rows(tmp_path / "averaged" / "log.csv", EpochLog)
    # The average changes what is evaluated, and nothing of the training.
    assert (row.train_loss, row.train_top1) == pytest.approx((plain.train_loss, plain.train_top1))
    assert row.val_loss != plain.val_loss
    images, labels = digits.source._splits["validation"]
    model = tf.keras.models.load_model(tmp_path / "averaged" / "last.keras")
    probabilities = model.predict(digits.preprocessing.normalize(images), verbose=0)
    assert (probabilities.argmax(1) == labels).mean() == pytest.approx(row.val_top1)


def test_first_stage_hands_its_weights_on(tmp_path, digits) -> None:
    two = recipe("epochs=1", "first_stage=float_weights", "first_stage_epochs=2")
    train(two, digits, tmp_path / "run")
    first = tmp_path / "run/first_stage"
    assert len(read_rows(first / "log.csv", EpochLog)) == 2
    direct = recipe("epochs=1", f"initial_weights={first / 'last.keras'}")
    train(direct, digits, tmp_path / "direct")
    assert numbers(tmp_path / "direct") == numbers(tmp_path / "run")


@pytest.mark.parametrize("quantization", ["float_weights", "float_activations", "float"])
def test_stages_leave_out_signs(quantization, tmp_path, digits) -> None:
    """The networks of the first stage compute with 32-bit numbers where they should."""
    from larq_melius.zoo.training.network import build_network

    binary = build_network(recipe(), digits)
    staged = build_network(recipe(f"quantization={quantization}"), digits)
    staged.set_weights(binary.get_weights())
    name = "stage1_block1_dense_conv"
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 64)).astype("float32")
    kernel = binary.get_layer(name).get_weights()[0]
    signed = quantization == "float_activations"
    weights = np.where(kernel >= 0, 1, -1) if signed else kernel
    inputs = np.clip(x, -1, 1) if quantization != "float_weights" else np.where(x >= 0, 1, -1)
    padded = np.pad(inputs, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1)
    expected = tf.nn.conv2d(padded.astype("float32"), weights.astype("float32"), 1, "VALID")
    np.testing.assert_allclose(staged.get_layer(name)(x), expected, rtol=1e-4, atol=1e-3)


def test_student_learns_from_its_teacher(tmp_path, digits) -> None:
    """With nothing but the teacher in the loss, the loss is the cross-entropy under the teacher's probabilities."""
    teacher = larq_melius.MeliusNetTiny(weights="digits")
    teacher.save(tmp_path / "teacher.keras")
    taught = recipe(
        *("epochs=1", "batch_size=1077", "augmentation=none", "learning_rate=1e-9", "temperature=2"),
        *("teacher_weight=1", f"teacher={tmp_path / 'teacher.keras'}"),
    )
    (row,) = train(taught, digits, tmp_path / "run")
    images, _ = digits.source._splits["train"]
    inputs = digits.preprocessing.normalize(images)
    tf.keras.utils.set_random_seed(taught.seed)
    student = small_network(classifier_activation=None)
    logits = np.asarray(student(inputs, training=True))
    targets = np.asarray(larq_melius.MeliusNetTiny(weights="digits", classifier_activation=None)(inputs))
    soft = tf.nn.softmax(targets / 2)
    expected = 4 * np.mean(tf.nn.softmax_cross_entropy_with_logits(soft, logits / 2))
    assert row.train_loss == pytest.approx(expected, rel=1e-3)


def test_new_classes_get_a_new_classifier(tmp_path, digits) -> None:
    settings = ["epochs=1", "initial_weights=digits", "learning_rate=1e-9", "optimizer=sgd", "warmup_epochs=0"]
    tuned = load_recipe("MeliusNetTiny", settings=settings)
    (row,) = train(tuned, digits, tmp_path / "tuned")
    assert row.val_top1 > 0.95
    five = load_data("synthetic", image_size=32)
    other = load_recipe("MeliusNet22", dataset="synthetic", settings=["batch_size=8", "image_size=32"])
    assert other.stem is None
    from larq_melius.zoo.training.network import build_network

    source = larq_melius.MeliusNet22(weights=None, stem="thumbnail", input_shape=(32, 32, 3), classes=7)
    source.save_weights(tmp_path / "seven.h5")
    model = build_network(other.override({"initial_weights": str(tmp_path / "seven.h5")}), five)
    assert model.output_shape == (None, 1000)
    kernels = [m.get_layer("stage4_block4_improve_conv").get_weights()[0] for m in (model, source)]
    np.testing.assert_array_equal(*kernels)


def test_mixed_precision_exports_float32(tmp_path, digits) -> None:
    (row,) = train(recipe("epochs=1", "precision=mixed_bfloat16"), digits, tmp_path / "run")
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    model = tf.keras.models.load_model(tmp_path / "run/last.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    (plain,) = train(recipe("epochs=1"), digits, tmp_path / "plain")
    # bfloat16 has 8 bits: losses of the same training agree to two digits.
    assert row.train_loss == pytest.approx(plain.train_loss, rel=0.02)


def test_xla_trains_alike(tmp_path, digits) -> None:
    (row,) = train(recipe("epochs=1", "xla=true"), digits, tmp_path / "xla")
    (plain,) = train(recipe("epochs=1"), digits, tmp_path / "plain")
    assert row.train_loss == pytest.approx(plain.train_loss, rel=0.02)


# Without signs nothing amplifies the rounding of sums in another order.
SMOOTH = (
    *SMALL,
    "quantization=float",
    "learning_rate=1e-4",
    "synchronize_batchnorm=true",
    "flips=none",
    "warmup_epochs=0",
)


def smooth_command(folder: Path, *more: object) -> list[str]:
    settings = [text for setting in SMOOTH for text in ("--set", setting)]
    run = ["train", "meliusnettiny", "--epochs", 1, "--checkpoint-steps", 10, "-o", folder, *settings, *more]
    return [str(COMMAND), *map(str, run)]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_workers(folder: Path, *more: object) -> list[subprocess.Popen[str]]:
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [
        subprocess.Popen(
            smooth_command(folder, "--hosts", hosts, "--host-index", index, *more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def test_two_workers_and_two_devices_come_to_the_numbers_of_one(tmp_path) -> None:
    workers = start_workers(tmp_path / "workers")
    outputs = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    assert outputs[1][0] == ""
    subprocess.run(smooth_command(tmp_path / "one"), capture_output=True, check=True)
    subprocess.run(smooth_command(tmp_path / "devices", "--devices", 2), capture_output=True, check=True)
    for name in ("workers", "devices"):
        # 33 steps of float32 sums in another order.
        assert_close(numbers(tmp_path / name), numbers(tmp_path / "one"), 1e-4)


@pytest.fixture(scope="module")
def whole_by_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs by two workers."""
    folder = tmp_path_factory.mktemp("workers") / "run"
    for worker in start_workers(folder, "--epochs", 2):
        worker.communicate()
    return folder


def test_terminated_worker_stops_all_and_they_go_on(whole_by_workers, tmp_path) -> None:
    chief, worker = start_workers(tmp_path / "run", "--epochs", 2)
    wait_for(lambda: list((tmp_path / "run/checkpoints").glob("step-0000000010")), chief)
    worker.terminate()
    stopped = [process.communicate()[1].splitlines()[-1] for process in (chief, worker)]
    assert [chief.returncode, worker.returncode] == [130, 130]
    assert all(line.startswith("Stopped in epoch") and "--resume" in line for line in stopped)
    for process in start_workers(tmp_path / "run", "--epochs", 2, "--resume"):
        process.communicate()
    assert_close(numbers(tmp_path / "run"), numbers(whole_by_workers), 1e-5)


def test_killed_worker_ends_the_others_and_all_go_on(whole_by_workers, tmp_path) -> None:
    chief, worker = start_workers(tmp_path / "run", "--epochs", 2)
    wait_for(lambda: list((tmp_path / "run/checkpoints").glob("step-0000000043")), chief)
    worker.kill()
    worker.communicate()
    _, stderr = chief.communicate()
    assert chief.returncode == 1
    assert stderr.splitlines()[-1].startswith("Error: Another worker has gone")
    again = start_workers(tmp_path / "run", "--epochs", 2, "--resume")
    assert "Going on after 1 epochs and 10 steps." in again[0].communicate()[1]
    again[1].communicate()
    assert_close(numbers(tmp_path / "run"), numbers(whole_by_workers), 1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["meliusnet99"], "Unknown recipe 'meliusnet99'"),
        (["meliusnettiny", "--set", "epoch=1"], "no field 'epoch'; did you mean 'epochs'"),
        (["meliusnettiny", "--hosts", "a:1"], "--hosts and --host-index go together"),
        (["meliusnettiny", "--hosts", "a:1,b", "--host-index", "0"], "'b' is no address of a worker"),
        (["meliusnettiny", "--hosts", "a:1,b:1", "--host-index", "2"], "index must be from 0 to 1"),
        (["meliusnettiny", "--slurm"], "This is no task of a SLURM job"),
        (["meliusnettiny", "--devices", "3"], "batch_size must be a multiple of the 3 devices, got 32"),
        (["meliusnet22", "--dataset", "folder"], "needs --data-dir"),
        (["no.json"], "no.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_on_the_command_line(arguments, message, tmp_path) -> None:
    result = subprocess.run([COMMAND, "train", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_workers_of_a_slurm_job(monkeypatch) -> None:
    """As srun sets the environment of the third of four tasks on two nodes."""
    tasks = {"PROCID": 2, "STEP_NODELIST": "gpu[07-08]", "STEP_NUM_NODES": 2, "STEP_TASKS_PER_NODE": "2(x2)"}
    for name, value in {**tasks, "STEP_NUM_TASKS": 4, "NTASKS": 4}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setenv("TF_CONFIG", "")
    cluster_from_slurm(port=5000)
    assert json.loads(os.environ["TF_CONFIG"]) == {
        "cluster": {"worker": ["gpu07:5000", "gpu07:5001", "gpu08:5000", "gpu08:5001"]},
        "task": {"type": "worker", "index": 2},
    }


def test_tf_config_that_is_wrong(tmp_path) -> None:
    environment = {**os.environ, "TF_CONFIG": json.dumps({"cluster": {"ps": ["a:1"]}})}
    result = subprocess.run(command(tmp_path / "run"), env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "TF_CONFIG must have nothing but 'worker'" in result.stderr
