"""Weight files: what comes back, what is refused, and what a failure leaves behind."""

import errno
import io
import os
import stat
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from larq_melius import MeliusNet, ResNetE
from larq_melius.files import write_atomically
from larq_melius.weights import load_packed, save_packed

Build = Callable[..., tf.keras.Model]


def meliusnet(**arguments: Any) -> tf.keras.Model:
    defaults: dict[str, Any] = {"input_shape": (8, 8, 3), "classes": 5, "stem": "thumbnail", "transition_groups": 2}
    return MeliusNet([1, 1], [64], **{**defaults, **arguments})


def resnet_e(**arguments: Any) -> tf.keras.Model:
    return ResNetE([1, 1], [64, 96], **{"input_shape": (8, 8, 3), "classes": 5, "stem": "thumbnail", **arguments})


def images() -> np.ndarray:
    return np.random.default_rng(4).normal(size=(6, 8, 8, 3)).astype("float32")


def assert_weights(model: tf.keras.Model, expected: list[np.ndarray]) -> None:
    for weight, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.fixture(scope="module")
def model(randomize: Callable[..., None]) -> tf.keras.Model:
    model = meliusnet()
    randomize(model, 1)
    return model


@pytest.fixture(scope="module")
def packed(model: tf.keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_packed(model, tmp_path_factory.mktemp("packed") / "weights.npz")


@pytest.fixture(scope="module")
def target() -> tf.keras.Model:
    """Another model of the same network, to load into."""
    return meliusnet()


def changed(path: Path, **arrays: np.ndarray | None) -> bytes:
    """The packed file with some of its arrays replaced, added or (``None``) left out."""
    with np.load(path) as archive:
        contents = {name: archive[name] for name in archive.files}
    contents |= {name.replace("__", "/"): array for name, array in arrays.items()}
    file = io.BytesIO()
    np.savez(file, **{name: array for name, array in contents.items() if array is not None})
    return file.getvalue()


@pytest.mark.parametrize("build", [meliusnet, resnet_e])
def test_packed_weights_give_the_same_predictions(randomize: Callable[..., None], tmp_path: Path, build: Build) -> None:
    original, copy = build(), build()
    randomize(original, 1)
    expected = original(images()).numpy()
    assert not np.allclose(copy(images()), expected)
    path = save_packed(original, tmp_path / "weights.npz")
    assert path == tmp_path / "weights.npz"
    load_packed(copy, path)
    np.testing.assert_array_equal(copy(images()), expected)
    load_packed(copy, path.read_bytes())
    np.testing.assert_array_equal(copy(images()), expected)
    np.testing.assert_array_equal(build(weights=path)(images()), expected)
    np.testing.assert_array_equal(build(weights=str(path))(images()), expected)


def test_binary_kernels_are_signs_and_all_else_is_as_it_was(
    randomize: Callable[..., None], target: tf.keras.Model, tmp_path: Path
) -> None:
    model = meliusnet()
    randomize(model)
    model.get_layer("stage1_block1_dense_conv").kernel[0, 0, :, 0].assign(tf.zeros(64))
    original = model.get_weights()
    load_packed(target, save_packed(model, tmp_path / "weights.npz"))
    binary = {layer.kernel.name for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)}
    assert len(binary) == 4
    for variable, before, after in zip(model.weights, original, target.get_weights(), strict=True):
        expected = np.where(before >= 0, 1, -1) if variable.name in binary else before
        np.testing.assert_array_equal(after, expected)


def test_a_packed_file_takes_a_bit_for_a_binary_weight(model: tf.keras.Model, packed: Path, tmp_path: Path) -> None:
    binary = sum(layer.kernel.numpy().size for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D))
    other = model.count_params() - binary
    # A zip archive of NumPy arrays spends some 300 bytes on each one's headers.
    assert packed.stat().st_size < binary / 8 + other * 4 + 400 * len(model.weights)
    model.save_weights(tmp_path / "weights.h5")
    assert packed.stat().st_size < (tmp_path / "weights.h5").stat().st_size / 6


def test_a_loaded_model_packs_like_the_one_that_was_saved(model: tf.keras.Model, tmp_path: Path) -> None:
    # Keras gives the variables of some layers other names when it loads them.
    model.save(tmp_path / "model.keras")
    path = save_packed(tf.keras.models.load_model(tmp_path / "model.keras"), tmp_path / "weights.npz")
    np.testing.assert_array_equal(meliusnet(weights=path)(images()), model(images()))


def test_models_within_models_are_packed_whole(randomize: Callable[..., None], tmp_path: Path) -> None:
    def build() -> tf.keras.Model:
        backbone = meliusnet(include_top=False, pooling="avg")
        return tf.keras.Sequential([backbone, tf.keras.layers.Dense(3, name="head")])

    original, copy = build(), build()
    randomize(original.layers[0])
    load_packed(copy, save_packed(original, tmp_path / "weights.npz"))
    np.testing.assert_array_equal(copy(images()), original(images()))


def test_kernels_that_are_not_signs_are_not_packed_as_such(tmp_path: Path) -> None:
    def build() -> tf.keras.Model:
        ternary = lq.layers.QuantConv2D(4, 3, kernel_quantizer=lq.quantizers.SteTern(), use_bias=False, name="conv")
        return tf.keras.Sequential([tf.keras.Input((8, 8, 3)), ternary])

    original, copy = build(), build()
    load_packed(copy, save_packed(original, tmp_path / "weights.npz"))
    assert_weights(copy, original.get_weights())


def test_variables_of_one_name_are_refused(tmp_path: Path) -> None:
    class Twice(tf.keras.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.first = self.add_weight("scale", (1,))
            self.second = self.add_weight("scale", (1,))

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return inputs * self.first * self.second

    with pytest.raises(ValueError, match="cannot be told apart"):
        save_packed(tf.keras.Sequential([tf.keras.Input((2,)), Twice()]), tmp_path / "weights.npz")
    assert not list(tmp_path.iterdir())


def test_without_the_top_the_classifier_is_passed_over(model: tf.keras.Model, packed: Path) -> None:
    features = meliusnet(include_top=False, pooling="avg", weights=packed)
    kernel, bias = model.get_layer("predictions").get_weights()
    expected = tf.nn.softmax(features(images()) @ kernel + bias)
    np.testing.assert_allclose(model(images()), expected, rtol=1e-5, atol=1e-6)
    without_top = save_packed(features, packed.with_name("notop.npz"))
    meliusnet(include_top=False, weights=without_top)
    with pytest.raises(ValueError, match="holds no weights for predictions/"):
        meliusnet(weights=without_top)
    with pytest.raises(ValueError, match="holds weights for predictions/"):
        load_packed(features, packed)


@pytest.mark.parametrize("name", ["weights.h5", "model.h5", "new.weights.h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_keras_weight_files(model: tf.keras.Model, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (model.save if name == "model.h5" else model.save_weights)(path)
    for given in (path, str(path)):
        np.testing.assert_array_equal(meliusnet(weights=given)(images()), model(images()))
    with pytest.raises(ValueError, match=r"\S"):
        meliusnet(weights=path, growth_rate=32)
    for damaged in (b"", b"no weights", path.read_bytes()[:3000]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name} (is|does) not "):
            meliusnet(weights=path)


def test_files_that_do_not_exist_are_value_errors(tmp_path: Path) -> None:
    for name in ("weights.npz", "weights.h5"):
        with pytest.raises(ValueError, match=f"There is no weight file .*{name}"):
            meliusnet(weights=tmp_path / name)
        with pytest.raises(FileNotFoundError):
            load_packed(meliusnet(), tmp_path / name)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"growth_rate": 32}, "is not 36864 bits"),
        ({"classes": 6}, r"predictions/kernel has the shape \(128, 6\), but the network expects \(128, 5\)"),
        ({"transition_groups": 1}, "transition1_conv/kernel has the shape"),
        ({"improvement": None}, "holds no weights for stage1_block1_improve_bn/gamma"),
        ({"binary": False}, "holds no weights for stage1_block1_dense_conv/kernel"),
    ],
)
def test_weights_of_another_network_are_refused(
    target: tf.keras.Model, tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    before = target.get_weights()
    path = save_packed(meliusnet(**other), tmp_path / "weights.npz")
    with pytest.raises(ValueError, match=message) as raised:
        load_packed(target, path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert_weights(target, before)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"predictions__bias": None}, "holds no weights for predictions/bias"),
        ({"predictions__scale": np.ones(5, "float32")}, "holds weights for predictions/scale"),
        ({"predictions__bias": np.full(5, "1")}, "predictions/bias holds <U1"),
        ({"predictions__bias": np.ones(5, complex)}, "predictions/bias holds complex128"),
        ({"predictions__bias": np.ones(5, object)}, "pickle"),
        ({"stage2_block1_dense_conv__kernel.bits": np.ones(3, "uint8")}, "is not 36864 bits"),
        ({"stage2_block1_dense_conv__kernel.bits": np.ones(4608, "float32")}, "is not 36864 bits"),
    ],
)
def test_arrays_that_do_not_fit_change_nothing(
    packed: Path, target: tf.keras.Model, arrays: dict[str, np.ndarray | None], message: str
) -> None:
    before = target.get_weights()
    with pytest.raises(ValueError, match=message):
        load_packed(target, changed(packed, **arrays))
    assert_weights(target, before)
    load_packed(target, changed(packed))


class Pickled:
    """Does harm as soon as it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.abort, ()


def test_pickles_are_not_run(packed: Path, target: tf.keras.Model) -> None:
    before = target.get_weights()
    file = io.BytesIO()
    np.save(file, np.array([Pickled()] * 5, object), allow_pickle=True)
    for data in (changed(packed, predictions__bias=np.array([Pickled()] * 5, object)), file.getvalue()):
        with pytest.raises(ValueError, match=r"is not a packed weight file, or it is damaged: .*pickle"):
            load_packed(target, data)
    assert_weights(target, before)


@pytest.mark.parametrize("data", [b"", b"PK", bytes(1000), b"no weights at all" * 100])
def test_other_files_are_refused(target: tf.keras.Model, tmp_path: Path, data: bytes) -> None:
    before = target.get_weights()
    path = tmp_path / "weights.npz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"the given bytes is not a packed weight file, or it is damaged"):
        load_packed(target, data)
    with pytest.raises(ValueError, match=r"weights\.npz is not a packed weight file, or it is damaged"):
        load_packed(target, path)
    assert_weights(target, before)


def test_a_single_array_and_a_folder_are_refused(target: tf.keras.Model, tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.ones(3))
    for path in (tmp_path, tmp_path / "array.npy"):
        with pytest.raises(ValueError, match="is not a packed weight file, or it is damaged"):
            load_packed(target, path)


def test_damaged_files_are_refused_or_give_the_same_weights(randomize: Callable[..., None], tmp_path: Path) -> None:
    target = meliusnet(growth_rate=8, transition_groups=1)
    randomize(target)
    path = save_packed(target, tmp_path / "weights.npz")
    load_packed(target, path)
    expected = target.get_weights()
    zeros = [np.zeros_like(weight) for weight in expected]
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    cut = [whole[:length] for length in (*range(1, 200, 9), *range(200, len(whole), 1999), len(whole) - 1)]
    flipped = []
    # Headers are where the archive's own check sums do not reach.
    headers = [at for at in range(len(whole)) if whole[at : at + 2] == b"PK"]
    for _ in range(200):
        data = bytearray(whole)
        start = int(rng.choice(headers)) if rng.random() < 0.5 else int(rng.integers(len(whole)))
        data[min(start + int(rng.integers(0, 40)), len(whole) - 1)] ^= int(rng.integers(1, 256))
        flipped.append(bytes(data))
    target.set_weights(zeros)
    refused = 0
    for data in [*cut, *flipped]:
        try:
            load_packed(target, data)
        except ValueError:
            refused += 1
            assert_weights(target, zeros)
        else:
            assert data not in cut
            assert_weights(target, expected)
            target.set_weights(zeros)
    assert refused > len(cut) + 60


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    assert write_atomically(str(path), b"first") == path
    assert write_atomically(path, b"second") == path
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_files_have_the_permissions_of_any_other(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        try:
            path = write_atomically(tmp_path / f"file{mask}", b"")
        finally:
            assert os.umask(before) == mask
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


class FullDisk(io.BytesIO):
    """A file that has room for a few bytes."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor

    def write(self, data: Any) -> int:
        os.write(self.descriptor, data[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        if not self.closed:
            os.close(self.descriptor)
        super().close()


@pytest.mark.parametrize("earlier", [None, b"an earlier file"], ids=["new", "over another"])
@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO], ids=lambda number: errno.errorcode[number])
def test_a_failure_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, earlier: bytes | None, error: int
) -> None:
    def fail(*args: Any) -> None:
        raise OSError(error, os.strerror(error))

    path = tmp_path / "weights.npz"
    if earlier is not None:
        path.write_bytes(earlier)
    if fails == "write":
        error = errno.ENOSPC
        monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: FullDisk(descriptor))
    else:
        monkeypatch.setattr(os, fails, fail)
    with pytest.raises(OSError, match=rf"Cannot write .*weights\.npz: {os.strerror(error)}") as raised:
        write_atomically(path, b"weights")
    assert raised.value.errno == error
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == (
        {} if earlier is None else {"weights.npz": earlier}
    )


def test_an_interrupt_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "weights.npz", b"weights")
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written_are_os_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"file")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    for path, reason in (
        (tmp_path / "missing" / "weights.npz", "No such file or directory"),
        (tmp_path / "file" / "weights.npz", "Not a directory"),
        (tmp_path / "folder", "Is a directory"),
    ):
        with pytest.raises(OSError, match=f"Cannot write {path}: {reason}"):
            write_atomically(path, b"weights")

    real_open = os.open

    def deny(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        # Tests may run as root, who may write everywhere.
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(OSError, match=f"Cannot write {tmp_path}/weights.npz: Permission denied"):
        write_atomically(tmp_path / "weights.npz", b"weights")
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "inside"]


def test_save_packed_to_a_full_disk_keeps_the_earlier_file(
    model: tf.keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_packed(model, tmp_path / "weights.npz")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: FullDisk(descriptor))
    with pytest.raises(OSError, match="No space left on device"):
        save_packed(model, path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(packed: Path, target: tf.keras.Model, value: float) -> None:
    before = target.get_weights()
    with pytest.raises(ValueError, match="predictions/bias holds numbers that are not finite"):
        load_packed(target, changed(packed, predictions__bias=np.float32([0, 0, value, 0, 0])))
    # A number of float64 that float32 has no place for.
    with pytest.raises(ValueError, match="predictions/bias holds numbers that are not finite"):
        load_packed(target, changed(packed, predictions__bias=np.full(5, 1e300)))
    with pytest.raises(ValueError, match="moving_variance holds a negative variance"):
        load_packed(target, changed(packed, final_bn__moving_variance=np.full(128, -1, "float32")))
    assert_weights(target, before)


def test_arrays_are_not_read_beyond_what_the_network_needs(packed: Path, target: tf.keras.Model) -> None:
    before = target.get_weights()
    bomb, header = io.BytesIO(), io.BytesIO()
    for file, data in (
        (bomb, bytes(1 << 28)),
        (header, b"\x93NUMPY\x01\x00\x80\x00" + HUGE.ljust(127).encode() + b"\n"),
    ):
        with zipfile.ZipFile(packed) as source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as copy:
            for name in source.namelist():
                copy.writestr(name, data if name == "predictions/bias.npy" else source.read(name))
    tracemalloc.start()
    for file in (bomb, header):
        with pytest.raises(ValueError, match="is not a packed weight file, or it is damaged"):
            load_packed(target, file.getvalue())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
    assert_weights(target, before)


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }"
