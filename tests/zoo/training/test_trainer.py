"""Training runs: what they write, and what the choices of a recipe do."""

import numpy as np
import pytest
import tensorflow as tf
from command_line import run, run_process
from training_runs import SMALL, numbers, recipe, small_network

import larq_melius
from larq_melius.zoo.data import load_data
from larq_melius.zoo.data.digits import load_digits_split
from larq_melius.zoo.recipes import Recipe, load_recipe
from larq_melius.zoo.runs.log import EpochLog, LayerFlips, read_rows
from larq_melius.zoo.training.trainer import train

#: An epoch of eight steps.
EPOCH = ("epochs=1", "batch_size=128")


@pytest.fixture(scope="module")
def plain(tmp_path_factory, digits) -> EpochLog:
    """The log of an epoch, to compare with epochs that differ in one setting."""
    (row,) = train(recipe(*EPOCH), digits, tmp_path_factory.mktemp("plain") / "run")
    return row


@pytest.mark.process
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


@pytest.mark.process
def test_best_network_scores_what_the_log_says(uninterrupted, digits) -> None:
    log = read_rows(uninterrupted / "log.csv", EpochLog)
    best = max(log, key=lambda row: (row.val_top1, -row.val_loss))
    validation = load_digits_split().validation
    images, labels = validation.images, validation.labels
    for model in (
        tf.keras.models.load_model(uninterrupted / "best.keras"),
        larq_melius.MeliusNetTiny(weights=uninterrupted / "best.keras"),
    ):
        probabilities = model.predict(digits.preprocessing.normalize(images), verbose=0)
        assert (probabilities.argmax(1) == labels).mean() == pytest.approx(best.val_top1)
        loss = tf.keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        assert np.mean(loss) == pytest.approx(best.val_loss, rel=1e-5)


@pytest.mark.long
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["batch_size=1078"], "batch_size must be at most 1077, the number of training images"),
        (["stem=grouped"], "too small for the grouped stem"),
        (["augmentation=blur"], "Unknown augmentation 'blur'"),
        (["augmentation=imagenet_color"], "these have 1 channels"),
        (["optimizer=sgd", "epsilon=0.1"], "sgd has no epsilon"),
        (["teacher=none.keras"], "There is no teacher none.keras"),
        (["teacher=MeliusNet42"], "There are no 'imagenet' weights for MeliusNet42"),
        (["initial_weights=none.h5"], "There is no weight file none.h5"),
        (["model=MeliusNet22"], "model must be MeliusNet or ResNetE"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_get_one_line(settings, message, tmp_path, digits) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        train(recipe(*settings), digits, tmp_path / "run")
    assert message in str(error.value)


@pytest.mark.long
def test_one_worker_has_all_files(tmp_path, digits) -> None:
    assert train(recipe("epochs=1", "shard_by=files", "batch_size=32"), digits, tmp_path / "run")


def test_diverged_training_stops(tmp_path, digits) -> None:
    wild = recipe("optimizer=sgd", "learning_rate=3e38", "schedule=constant", "quantization=float")
    with pytest.raises(RuntimeError, match=r"The loss is \S+ in epoch 1: the training has diverged\."):
        train(wild, digits, tmp_path / "run")
    assert not list((tmp_path / "run").glob("checkpoints/step*"))


@pytest.mark.long
def test_moving_average_is_what_is_evaluated_and_exported(tmp_path, digits, plain) -> None:
    averaged = recipe(*EPOCH, "ema_momentum=0.9", "learning_rate=0.002")
    train(averaged, digits, tmp_path / "averaged")
    (row,) = read_rows(tmp_path / "averaged" / "log.csv", EpochLog)
    # The average changes what is evaluated, and nothing of the training.
    assert (row.train_loss, row.train_top1) == pytest.approx((plain.train_loss, plain.train_top1))
    assert row.val_loss != plain.val_loss
    validation = load_digits_split().validation
    images, labels = validation.images, validation.labels
    model = tf.keras.models.load_model(tmp_path / "averaged" / "last.keras")
    probabilities = model.predict(digits.preprocessing.normalize(images), verbose=0)
    assert (probabilities.argmax(1) == labels).mean() == pytest.approx(row.val_top1)


@pytest.mark.long
def test_first_stage_hands_its_weights_on(tmp_path, digits) -> None:
    two = recipe(*EPOCH, "first_stage=float_weights", "first_stage_epochs=2")
    train(two, digits, tmp_path / "run")
    first = tmp_path / "run/first_stage"
    assert len(read_rows(first / "log.csv", EpochLog)) == 2
    direct = recipe(*EPOCH, f"initial_weights={first / 'last.keras'}")
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


@pytest.mark.long
def test_student_learns_from_its_teacher(tmp_path, digits) -> None:
    """With nothing but the teacher in the loss, the loss is the cross-entropy under the teacher's probabilities."""
    teacher = larq_melius.MeliusNetTiny(weights="digits")
    teacher.save(tmp_path / "teacher.keras")
    taught = recipe(
        *("epochs=1", "batch_size=1077", "augmentation=none", "learning_rate=1e-9", "temperature=2"),
        *("teacher_weight=1", f"teacher={tmp_path / 'teacher.keras'}"),
    )
    (row,) = train(taught, digits, tmp_path / "run")
    inputs = digits.preprocessing.normalize(load_digits_split().train.images)
    tf.keras.utils.set_random_seed(taught.seed)
    student = small_network(classifier_activation=None)
    logits = np.asarray(student(inputs, training=True))
    targets = np.asarray(larq_melius.MeliusNetTiny(weights="digits", classifier_activation=None)(inputs))
    soft = tf.nn.softmax(targets / 2)
    expected = 4 * np.mean(tf.nn.softmax_cross_entropy_with_logits(soft, logits / 2))
    assert row.train_loss == pytest.approx(expected, rel=1e-3)


@pytest.mark.long
def test_new_classes_get_a_new_classifier(tmp_path, digits) -> None:
    settings = ["epochs=1", "initial_weights=digits", "learning_rate=1e-9", "optimizer=sgd", "warmup_epochs=0"]
    tuned = load_recipe("MeliusNetTiny", settings=[*settings, "batch_size=1077"])
    (row,) = train(tuned, digits, tmp_path / "tuned")
    assert row.val_top1 > 0.95
    five = load_data("synthetic", image_size=32)
    other = load_recipe("MeliusNet22", dataset="synthetic", settings=["batch_size=8", "image_size=32", *SMALL[:2]])
    assert other.stem is None
    from larq_melius.zoo.training.network import build_network

    source = larq_melius.MeliusNet([1, 1], [64], stem="thumbnail", input_shape=(32, 32, 3), classes=7)
    source.save_weights(tmp_path / "seven.h5")
    model = build_network(other.override({"initial_weights": str(tmp_path / "seven.h5")}), five)
    assert model.output_shape == (None, 1000)
    kernels = [m.get_layer("stage2_block1_improve_conv").get_weights()[0] for m in (model, source)]
    np.testing.assert_array_equal(*kernels)


@pytest.mark.long
def test_mixed_precision_exports_float32(tmp_path, digits, plain) -> None:
    (row,) = train(recipe(*EPOCH, "precision=mixed_bfloat16"), digits, tmp_path / "run")
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    model = tf.keras.models.load_model(tmp_path / "run/last.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    # bfloat16 has 8 bits: losses of the same training agree to two digits.
    assert row.train_loss == pytest.approx(plain.train_loss, rel=0.02)


@pytest.mark.long
def test_xla_trains_alike(tmp_path, digits, plain) -> None:
    (row,) = train(recipe(*EPOCH, "xla=true"), digits, tmp_path / "xla")
    # Rounding turns signs, which the steps carry on.
    assert row.train_loss == pytest.approx(plain.train_loss, rel=0.02)


@pytest.mark.long
def test_xla_comes_to_the_same_numbers_without_signs(tmp_path, digits) -> None:
    settings = [*EPOCH, "quantization=float", "optimizer=sgd", "learning_rate=1e-3", "flips=none"]
    compiled, plain = (train(recipe(*settings, f"xla={xla}"), digits, tmp_path / xla)[0] for xla in ("true", "false"))
    assert compiled.train_loss == pytest.approx(plain.train_loss, rel=1e-5)
    assert compiled.val_loss == pytest.approx(plain.val_loss, rel=1e-5)
    # Rounding may decide about an image or two.
    assert compiled.train_top1 == pytest.approx(plain.train_top1, abs=2.5 / 1077)
    assert compiled.val_top1 == pytest.approx(plain.val_top1, abs=2.5 / 270)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["meliusnet99"], "Unknown recipe 'meliusnet99'"),
        (["meliusnettiny", "--set", "epoch=1"], "no field 'epoch'; did you mean 'epochs'?"),
        (["meliusnettiny", "--hosts", "a:1"], "--hosts and --host-index go together"),
        (["meliusnettiny", "--hosts", "a:1,b", "--host-index", "0"], "'b' is no address of a worker"),
        (["meliusnettiny", "--hosts", "a:1,b:1", "--host-index", "2"], "index must be from 0 to 1"),
        (["meliusnettiny", "--slurm"], "This is no task of a SLURM job"),
        pytest.param(
            ["meliusnettiny", "--devices", "3"],
            "batch_size must be a multiple of the 3 devices, got 32",
            marks=pytest.mark.process,
        ),
        (["meliusnet22", "--dataset", "folder"], "needs --data-dir"),
        (["no.json"], "no.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_on_the_command_line(arguments, message, tmp_path) -> None:
    # The CPU can be split into devices before TensorFlow has run anything only.
    result = (run_process if "--devices" in arguments else run)("train", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
