"""Models from files that nobody vouches for: no code of a file runs, and no file hangs or fills the memory."""

import io
import json
import marshal
import os
import zipfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
from command_line import run

import larq_melius as lm
from larq_melius.models.safe_loading import load_model_safely

Config = dict[str, Any]

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")


def network(**options: Any) -> tf.keras.Model:
    defaults: Config = {"input_shape": (8, 8, 3), "classes": 5, "stem": "thumbnail", "transition_groups": 2}
    return lm.MeliusNet([1, 1], [64], **{**defaults, **options})


@pytest.fixture(scope="module")
def saved(randomize: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network in every kind of file."""
    folder = tmp_path_factory.mktemp("saved")
    model = network()
    randomize(model)
    for name in ("model.keras", "model.h5", "folder"):
        model.save(folder / name)
    return {name: folder / name for name in ("model.keras", "model.h5", "folder")}


def changed(path: Path, target: Path, change: Callable[[Config], Any]) -> Path:
    """A copy of a file with another configuration; ``change`` edits it or returns one to take its place."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
            for name in source.namelist():
                data = source.read(name)
                copy.writestr(name, edited(data, change) if name == "config.json" else data)
        return target
    target.write_bytes(path.read_bytes())
    with h5py.File(target, "a") as file:
        file.attrs["model_config"] = edited(file.attrs["model_config"].encode(), change).decode()
    return target


def edited(text: bytes, change: Callable[[Config], Any]) -> bytes:
    config = json.loads(text)
    replacement = change(config)
    return json.dumps(config if replacement is None else replacement).encode()


def layers(config: Config) -> dict[str, Config]:
    return {layer["config"]["name"]: layer for layer in config["config"]["layers"]}


def create_file(x: Any) -> Any:
    with open("ran", "w"):
        return x


def call_in_layer(config: Config) -> None:
    """A Lambda layer of the file's that calls what it names, past Keras' safe mode."""
    layer = layers(config)["final_relu"]
    layer["class_name"] = "Lambda"
    layer["module"] = "keras.layers"
    call = {"module": "posix", "class_name": "function", "config": "system", "registered_name": "system"}
    layer["config"] = {"name": "final_relu", "function": call, "arguments": {}}
    if "module" not in config:
        code = b64encode(marshal.dumps(create_file.__code__)).decode()
        layer["config"] |= {"function_type": "lambda", "function": [code, None, None], "output_shape_type": "raw"}


def call_in_initializer(config: Config) -> None:
    layers(config)["stem_conv"]["config"]["kernel_initializer"] = {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    }


def class_of_another_module(config: Config) -> None:
    layers(config)["avg_pool"] |= {"module": "subprocess", "class_name": "Popen", "registered_name": "Popen"}


def known_name_of_another_module(config: Config) -> None:
    layers(config)["avg_pool"] |= {"module": "antigravity"}


def other_registered_name(config: Config) -> None:
    layers(config)["avg_pool"] |= {"module": "keras.layers", "registered_name": "Custom>Evil"}


def file_operation(config: Config) -> None:
    layers(config)["final_relu"] |= {"class_name": "TFOpLambda", "module": "tf_keras.src.layers.core.tf_op_layer"}
    layers(config)["final_relu"]["config"] = {"name": "final_relu", "function": "io.write_file"}


def inside_a_wrapper(config: Config) -> None:
    inner = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "x", "function": "y"}}
    layers(config)["final_relu"] |= {"module": "keras.layers", "class_name": "TimeDistributed"}
    layers(config)["final_relu"]["config"] = {"name": "final_relu", "layer": inner}


def vocabulary_from_a_file(config: Config) -> None:
    layers(config)["final_relu"] |= {"module": "keras.layers", "class_name": "StringLookup"}
    layers(config)["final_relu"]["config"] = {"name": "final_relu", "vocabulary": "/etc/passwd"}


def activation_of_unknown_name(config: Config) -> None:
    layers(config)["final_relu"]["config"]["activation"] = "deserialize"


CODE = [
    *(call_in_layer, call_in_initializer, class_of_another_module, known_name_of_another_module, file_operation),
    *(other_registered_name, inside_a_wrapper, vocabulary_from_a_file, activation_of_unknown_name),
]


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("change", CODE, ids=lambda change: change.__name__)
def test_files_that_name_code_are_refused(
    saved: dict[str, Path], name: str, change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = changed(saved[name], tmp_path / name, change)
    with pytest.raises(ValueError, match=rf"{name} is refused: it names .*pass trust=True \(--trust\)") as raised:
        load_model_safely(path)
    assert "\n" not in str(raised.value)
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_weights_are_read_without_building_a_model(
    saved: dict[str, Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise AssertionError("a model was built from a file of weights")

    monkeypatch.setattr(tf.keras.models, "load_model", fail)
    monkeypatch.chdir(tmp_path)
    expected = load_with_keras(saved[name])
    for path in (saved[name], changed(saved[name], tmp_path / name, call_in_layer)):
        for variable, array in zip(network(weights=path).weights, expected, strict=True):
            np.testing.assert_array_equal(variable, array)
    assert not Path("ran").exists()


def load_with_keras(path: Path) -> list[np.ndarray]:
    from tf_keras.src.saving import saving_api

    return saving_api.load_model(path, compile=False).get_weights()


@pytest.mark.parametrize("command", ["summary", "export", "evaluate", "predict"])
def test_commands_refuse_in_one_line(saved: dict[str, Path], tmp_path: Path, command: str) -> None:
    path = changed(saved["model.keras"], tmp_path / "model.keras", call_in_layer)
    options = {
        "summary": [],
        "export": ["-o", tmp_path / "model.tflite"],
        "evaluate": ["--dataset", "digits"],
        "predict": [tmp_path / "image.png"],
    }[command]
    result = run(command, path, *options)
    assert result.returncode == 2
    assert "is refused: it names keras.layers.Lambda" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "model.tflite").exists()


def test_teachers_are_checked(saved: dict[str, Path], tmp_path: Path, digits: Any) -> None:
    from larq_melius.zoo.recipes import load_recipe
    from larq_melius.zoo.training.distillation import load_teacher

    path = changed(saved["model.keras"], tmp_path / "model.keras", call_in_layer)
    recipe = load_recipe("MeliusNetTiny", dataset="digits", settings=[f"teacher={path}"])
    with pytest.raises(ValueError, match=r"is refused: it names keras\.layers\.Lambda"):
        load_teacher(recipe, digits)


def test_trust_loads_what_is_refused_otherwise(tmp_path: Path) -> None:
    image = tf.keras.Input((8, 8, 3))
    model = tf.keras.Model(image, tf.keras.layers.Lambda(lambda x: x + 1)(image))
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    for name in ("model.keras", "model.h5"):
        with pytest.raises(ValueError, match=r"keras.layers.Lambda|names Lambda"):
            load_model_safely(tmp_path / name)
        loaded = load_model_safely(tmp_path / name, trust=True)
        np.testing.assert_array_equal(loaded(np.ones((1, 8, 8, 3), "float32")), 2)
        assert run("summary", tmp_path / name).returncode == 2
        assert run("summary", tmp_path / name, "--trust").returncode == 0


def test_saved_models_need_trust(saved: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="is refused: a SavedModel can hold any operator"):
        load_model_safely(saved["folder"])
    assert load_model_safely(saved["folder"], trust=True).output_shape == (None, 5)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_honest_models_load_as_keras_loads_them(ending: str, randomize: Callable[..., None], tmp_path: Path) -> None:
    backbone = network(include_top=False, pooling="avg")
    randomize(backbone)
    image = tf.keras.Input((8, 8, 3))
    features = backbone(tf.nn.relu(image * 2.0 - 1.0)[:, ::-1])
    shared = tf.keras.layers.Dense(4, activation="swish", kernel_regularizer="l2", name="shared")
    answers = tf.keras.layers.Dense(3, kernel_initializer="he_normal")(shared(features) + shared(features * 0.5))
    model = tf.keras.Model(image, answers)
    model.compile("adam", "mse", metrics=["accuracy"])
    frames = tf.keras.Sequential([tf.keras.Input((2, 8, 8, 3)), tf.keras.layers.TimeDistributed(model)])
    for number, honest in enumerate((model, frames)):
        path = tmp_path / f"{number}.{ending}"
        honest.save(path)
        images = np.random.default_rng(0).normal(size=(2, *honest.input_shape[1:])).astype("float32")
        np.testing.assert_allclose(load_model_safely(path)(images), honest(images), rtol=1e-5, atol=1e-6)


@pytest.mark.process
def test_models_within_models_load_from_hdf5_with_keras_alone(tmp_path: Path) -> None:
    backbone = lm.MeliusNetC(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    model = tf.keras.Sequential([backbone, tf.keras.layers.Dense(3)])
    model.save(tmp_path / "model.h5")
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    loaded = tf.keras.models.load_model(tmp_path / "model.h5")
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-5, atol=1e-6)


def unknown_input(config: Config) -> None:
    layers(config)["final_relu"]["inbound_nodes"] = [[["nothing", 0, 0, {}]]]


def second_call_that_never_comes(config: Config) -> None:
    layers(config)["final_relu"]["inbound_nodes"] = [[["final_bn", 1, 0, {}]]]


def loop(config: Config) -> None:
    layers(config)["stem_conv"]["inbound_nodes"] = [[["final_bn", 0, 0, {}]]]


def twice_the_same_name(config: Config) -> None:
    config["config"]["layers"].append(layers(config)["final_relu"])


def no_such_output(config: Config) -> None:
    config["config"]["output_layers"] = [["predictions", 3, 0]]


def huge_layer(config: Config) -> None:
    layers(config)["predictions"]["config"]["units"] = 1 << 30


def huge_image(config: Config) -> None:
    layers(config)["image"]["config"]["batch_input_shape"] = [None, 1 << 20, 1 << 20, 3]


def infinite_number(config: Config) -> None:
    layers(config)["stage1_block1_dense_bn"]["config"]["epsilon"] = float("inf")


def too_deep(config: Config) -> str:
    return json.loads("[" * 500 + "]" * 500)


DAMAGE = [
    *(unknown_input, second_call_that_never_comes, loop, twice_the_same_name, no_such_output),
    *(
        huge_layer,
        huge_image,
        infinite_number,
        too_deep,
        lambda config: {},
        lambda config: None if config.clear() else 1,
    ),
]


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("change", DAMAGE, ids=lambda change: change.__name__)
def test_damaged_configurations_are_refused(saved: dict[str, Path], name: str, change: Any, tmp_path: Path) -> None:
    path = changed(saved[name], tmp_path / name, change)
    with pytest.raises(ValueError, match=rf"{name} is not a saved Keras model that can be read|is not a Keras file"):
        load_model_safely(path)


def external_link(file: h5py.File, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    group[name] = h5py.ExternalLink("other.h5", "/x")


def soft_link(file: h5py.File, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    group[name] = h5py.SoftLink("/x")


def external_storage(file: h5py.File, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    group.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual_dataset(file: h5py.File, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape)
    group.create_virtual_dataset(name, layout)


def numbers_that_are_not_there(file: h5py.File, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    group.create_dataset(name, (1 << 40,), "f4", chunks=(1,))


def nan(file: h5py.File, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    group[name] = np.full(shape, np.nan, "f4")


def infinity(file: h5py.File, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    group[name] = np.full(shape, np.inf, "f4")


def bomb(file: h5py.File, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    import zlib

    stored = group.create_dataset(name, shape, "f4", chunks=shape, compression="gzip")
    stored.id.write_direct_chunk((0,) * len(shape), zlib.compress(bytes(1 << 24)))


STORAGE = [external_link, soft_link, external_storage, virtual_dataset, numbers_that_are_not_there, nan, infinity, bomb]


@pytest.fixture(scope="module")
def target() -> tf.keras.Model:
    return network()


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "weights.h5", "new.weights.h5"])
@pytest.mark.parametrize("change", STORAGE, ids=lambda change: change.__name__)
def test_arrays_from_elsewhere_and_numbers_that_are_none(
    target: tf.keras.Model, saved: dict[str, Path], name: str, change: Any, tmp_path: Path
) -> None:
    from larq_melius.weights import load_weights

    path = tmp_path / name
    if name in saved:
        path.write_bytes(saved[name].read_bytes())
    else:
        target.save_weights(path)
    data = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5") if name == "model.keras" else path.read_bytes())
    with h5py.File(data, "a") as file:
        place, leaf = "layers/dense/vars", "1"
        if name in ("model.h5", "weights.h5"):
            place, leaf = ("model_weights/" if name == "model.h5" else "") + "predictions/predictions", "bias:0"
        del file[place][leaf]
        change(file, file[place], leaf, (5,))
    if name == "model.keras":
        with zipfile.ZipFile(saved[name]) as source, zipfile.ZipFile(path, "w") as copy:
            for member in source.namelist():
                copy.writestr(member, data.getvalue() if member == "model.weights.h5" else source.read(member))
    else:
        path.write_bytes(data.getvalue())
    before = target.get_weights()
    with pytest.raises(ValueError, match=name) as raised:
        load_weights(target, path, None, include_top=True)
    assert "\n" not in str(raised.value)
    for now, earlier in zip(target.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, earlier)
    if name in saved:
        with pytest.raises(ValueError, match=name):
            load_model_safely(path)


def test_archives_that_claim_too_much(saved: dict[str, Path], tmp_path: Path, target: tf.keras.Model) -> None:
    for member in ("config.json", "model.weights.h5"):
        path = tmp_path / "model.keras"
        with zipfile.ZipFile(saved["model.keras"]) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as copy:
            for name in source.namelist():
                copy.writestr(name, bytes(1 << 27) if name == member else source.read(name))
        with pytest.raises(ValueError, match=rf"{member} claims 134,217,728 bytes, more than"):
            load_model_safely(path)


def test_damaged_archives(saved: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    whole = saved["model.keras"].read_bytes()
    for data in (b"", whole[:-100], whole[:5000], whole.replace(b"config.json", b"confiG.json"), os.urandom(100)):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="is not a Keras file that can be read"):
            load_model_safely(path)
    with pytest.raises(FileNotFoundError):
        load_model_safely(tmp_path / "missing.keras")
