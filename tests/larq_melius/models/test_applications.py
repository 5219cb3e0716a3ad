"""The networks as Keras applications: signatures, inputs, heads and errors, beside Keras' own DenseNet."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from reference_data import DATA
from tf_keras.src.applications.imagenet_utils import validate_activation

import larq_melius
from larq_melius import MeliusNet, MeliusNetTiny, ResNetE, get_model, list_models
from larq_melius.models.configs import BIREALNET34, MELIUSNET_TINY
from larq_melius.weights import list_records, save_packed

DenseNet121 = tf.keras.applications.DenseNet121
KEYWORD_ONLY = ("stem", "convention", "name")

#: Channels of the last feature map: those after the last transition and 64 for each block of the last stage.
FEATURES = {
    "MeliusNet22": 256 + 4 * 64,
    "MeliusNet23": 288 + 6 * 64,
    "MeliusNet29": 256 + 6 * 64,
    "MeliusNet42": 416 + 10 * 64,
    "MeliusNet59": 544 + 12 * 64,
    "MeliusNetA": 288 + 6 * 64,
    "MeliusNetB": 320 + 6 * 64,
    "MeliusNetC": 288 + 6 * 64,
    "MeliusNetTiny": 96 + 2 * 64,
    "BinaryDenseNet28": 256 + 5 * 64,
    "BinaryDenseNet37": 256 + 6 * 64,
    "BinaryDenseNet45": 288 + 8 * 64,
    "NaiveNet17": 192 + 3 * 64,
    "ResNetE18": 512,
    "BiRealNet34": 512,
}


def small(builder: str = "meliusnet", **arguments: Any) -> tf.keras.Model:
    """Four stages, as the networks of the paper have, of one block each."""
    if builder == "resnet_e":
        return ResNetE([1, 1, 1, 1], (64, 64, 96, 96), **arguments)
    return MeliusNet([1, 1, 1, 1], [64, 64, 64], transition_groups=2, **arguments)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype("float32")


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras' DenseNet would fetch its weights where it does not see a mistake."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"Wants to download {args}.")

    monkeypatch.setattr("tf_keras.src.utils.data_utils.get_file", refuse)


def test_every_network_is_listed_and_exported() -> None:
    assert set(list_models()) == set(FEATURES)
    assert set(list_models()) <= set(larq_melius.__all__)


@pytest.mark.parametrize("name", FEATURES)
def test_signatures_are_those_of_keras_applications(name: str) -> None:
    function = getattr(larq_melius, name)
    assert function.__name__ == name
    ours = list(inspect.signature(function).parameters.values())
    keras = list(inspect.signature(DenseNet121).parameters.values())
    shared, own = ours[: len(keras)], ours[len(keras) :]
    assert [(p.name, p.kind) for p in shared] == [(p.name, p.kind) for p in keras]
    assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in shared)
    assert [(p.name, p.kind) for p in own] == [(name, inspect.Parameter.KEYWORD_ONLY) for name in KEYWORD_ONLY]
    defaults = {p.name: p.default for p in keras}
    if name == "MeliusNetTiny":
        defaults |= {"weights": "digits", "classes": 10}
    assert {p.name: p.default for p in shared} == defaults


COUNTED = {(m["name"], m["stem"]): m for m in json.loads((DATA / "exact_counts.json").read_text("utf-8"))["models"]}


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "MeliusNetTiny"])
def test_docstrings_state_what_the_networks_count_to(name: str) -> None:
    function = getattr(larq_melius, name)
    exact = COUNTED[name, inspect.signature(function).parameters["stem"].default]["exact"]
    binary = exact["binary_weights"]
    size = (binary / 8 + (exact["params_without_moving_statistics"] - binary) * 4) / 2**20
    floats = exact["float_macs_without_classifier"]
    assert (
        " ".join(function.__doc__.split()).partition("(paper")[0].startswith((name, "Binary DenseNet", "Bi-Real-Net"))
    )
    assert (
        f"{exact['total_params_keras'] / 1e6:.2f} million parameters, {size:.2f} MiB, "
        f"{(exact['binary_macs'] / 64 + floats) / 1e8:.2f}e8 operations "
        f"({exact['binary_macs'] / 1e9:.2f}e9 binary, {floats / 1e8:.2f}e8 32-bit)"
    ) in " ".join(function.__doc__.split())


@pytest.mark.parametrize("name", FEATURES)
def test_docstrings_tell_the_truth_about_public_weights(name: str) -> None:
    text = " ".join(getattr(larq_melius, name).__doc__.split())
    stems = {record.stem for record in list_records() if record.model == name}
    assert ("no public ImageNet weights" in text) == (not stems)
    assert ('with ``stem="conv7x7"``' in text) == (stems == {"conv7x7"})


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURES)
def test_every_network_builds(name: str) -> None:
    size = 8 if name == "MeliusNetTiny" else 32
    model = get_model(name, weights=None, input_shape=(size * 2, size * 2, 3))
    assert model.output_shape == (None, 10 if name == "MeliusNetTiny" else 1000)
    assert model.name == name.lower()
    features = get_model(name, weights=None, include_top=False)
    channels = 1 if name == "MeliusNetTiny" else 3
    assert features.input_shape == (None, None, None, channels)
    assert features.output_shape == (None, None, None, FEATURES[name])
    stride = 2 if name == "MeliusNetTiny" else 32
    assert features(tf.zeros((1, 64, 96, channels))).shape == (1, 64 // stride, 96 // stride, FEATURES[name])


def test_arguments_are_positional_as_in_keras() -> None:
    model = MeliusNetTiny(True, None, None, (12, 16, 2), None, 7, None, name="numbers")
    assert model.input_shape == (None, 12, 16, 2)
    assert model.output_shape == (None, 7)
    assert model.name == "numbers"
    assert model.layers[-1].activation is tf.keras.activations.linear
    with pytest.raises(TypeError):
        MeliusNetTiny(True, None, None, (12, 16, 2), None, 7, None, "grouped")


def test_the_classifier_has_a_softmax_unless_told_otherwise() -> None:
    model = MeliusNetTiny(weights=None)
    assert model.input_shape == (None, 8, 8, 1)
    np.testing.assert_allclose(model(noise(4, 8, 8, 1)).numpy().sum(1), 1, rtol=1e-5)
    sigmoid = MeliusNetTiny(weights=None, classifier_activation="sigmoid")
    sigmoid.set_weights(model.get_weights())
    logits = MeliusNetTiny(weights=None, classifier_activation=None)
    logits.set_weights(model.get_weights())
    x = logits(noise(4, 8, 8, 1))
    np.testing.assert_allclose(sigmoid(noise(4, 8, 8, 1)), tf.sigmoid(x), rtol=1e-5)
    np.testing.assert_allclose(model(noise(4, 8, 8, 1)), tf.nn.softmax(x), rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(("builder", "channels"), [("meliusnet", 128), ("resnet_e", 96)])
def test_pooling_without_the_top(builder: str, channels: int) -> None:
    x = noise(2, 64, 96, 3)
    plain = small(builder, include_top=False)
    assert plain.input_shape == (None, None, None, 3)
    assert plain.output_shape == (None, None, None, channels)
    features = plain(x).numpy()
    assert features.shape == (2, 2, 3, channels)
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        model = small(builder, include_top=False, pooling=pooling)
        assert model.output_shape == (None, channels)
        model.set_weights(plain.get_weights())
        np.testing.assert_allclose(model(x), reduce(features, axis=(1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.long
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("convention", ["authors", "larq_zoo"])
@pytest.mark.parametrize(
    ("builder", "stem"),
    [("meliusnet", "grouped"), ("resnet_e", "grouped"), ("resnet_e", "conv7x7"), ("resnet_e", "thumbnail")],
)
def test_a_network_of_any_size_computes_what_one_of_that_size_does(
    randomize: Callable[..., None], builder: str, stem: str, convention: str
) -> None:
    def build(input_shape: Any) -> tf.keras.Model:
        arguments: dict[str, Any] = {"input_shape": input_shape, "stem": stem, "convention": convention}
        if builder == "resnet_e":
            return ResNetE([1, 1], (64, 96), include_top=False, **arguments)
        return MeliusNet([1, 1], [64], transition_groups=2, include_top=False, **arguments)

    dynamic = build((None, None, 3))
    randomize(dynamic)
    x = noise(1, 33, 44, 3)
    static = build(x.shape[1:])
    static.set_weights(dynamic.get_weights())
    expected = static(x).numpy()
    assert expected.any()
    np.testing.assert_allclose(dynamic(x), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert dynamic(noise(1, 40, 32, 3)).shape[1:3] != expected.shape[1:3]


@pytest.mark.parametrize(("size", "side"), [(32, 1), (33, 1), (64, 2), (224, 7), (225, 7)])
def test_sizes_even_and_odd(size: int, side: int) -> None:
    model = small(include_top=False, input_shape=(size, size, 3))
    assert model.output_shape == (None, side, side, 128)


@pytest.mark.parametrize(("size", "side"), [(8, 1), (9, 1), (15, 1), (16, 2)])
def test_sizes_with_the_thumbnail_stem(size: int, side: int) -> None:
    model = small(include_top=False, input_shape=(size, size, 3), stem="thumbnail")
    assert model.output_shape == (None, side, side, 128)


@pytest.mark.parametrize(("size", "side"), [(32, 1), (33, 2), (225, 8)])
def test_sizes_even_and_odd_of_resnet_e(size: int, side: int) -> None:
    # Strided convolutions round up where pooling rounds down.
    model = small("resnet_e", include_top=False, input_shape=(size, size, 3))
    assert model.output_shape == (None, side, side, 96)


@pytest.mark.long
@pytest.mark.parametrize("channels", [1, 2, 4, 13])
@pytest.mark.parametrize("builder", ["meliusnet", "resnet_e"])
def test_other_numbers_of_channels(builder: str, channels: int) -> None:
    model = small(builder, input_shape=(32, 32, channels), classes=3, weights=None)
    assert model(noise(2, 32, 32, channels)).shape == (2, 3)


def test_input_tensor_is_the_start_of_the_model() -> None:
    image = tf.keras.Input((8, 8, 1))
    model = MeliusNetTiny(weights=None, input_tensor=image)
    assert model.inputs[0] is image


def test_what_comes_before_input_tensor_belongs_to_the_model() -> None:
    image = tf.keras.Input((8, 8, 1), name="raw", dtype="uint8")
    model = MeliusNetTiny(weights=None, input_tensor=tf.keras.layers.Rescaling(1 / 16)(image))
    assert model.inputs[0] is image
    plain = MeliusNetTiny(weights=None)
    plain.set_weights(model.get_weights())
    x = np.random.default_rng(0).integers(0, 17, (3, 8, 8, 1)).astype("uint8")
    np.testing.assert_allclose(model(x), plain(x.astype("float32") / 16), rtol=1e-5)


#: Mistakes that Keras answers with a ValueError, as arguments of DenseNet121 and of the small network above.
MISTAKES: dict[str, dict[str, Any]] = {
    "too small": {"input_shape": (31, 64, 3)},
    "too small without top": {"input_shape": (64, 31, 3), "include_top": False},
    "negative size": {"input_shape": (-64, 64, 3)},
    "two numbers": {"input_shape": (64, 64)},
    "four numbers": {"input_shape": (1, 64, 64, 3)},
    "any size with top": {"input_shape": (None, None, 3)},
    "any height with top": {"input_shape": (None, 64, 3)},
    "unknown channels": {"input_shape": (64, 64, None), "include_top": False},
    "no channels": {"input_shape": (64, 64, 0)},
    "unknown weights": {"weights": "instagram"},
    "empty weights": {"weights": ""},
    "missing weight file": {"weights": "missing/weights.h5"},
    "negative classes": {"classes": -1},
    "unknown activation": {"classifier_activation": "nonsense"},
    "array for tensor": {"input_tensor": np.zeros((1, 64, 64, 3), "float32")},
    "eager tensor": {"input_tensor": tf.zeros((1, 64, 64, 3)), "input_shape": (64, 64, 3)},
    "text for tensor": {"input_tensor": "image"},
}


@pytest.mark.filterwarnings("ignore:This model usually expects")
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_value_errors_as_in_keras(mistake: dict[str, Any]) -> None:
    arguments = {"weights": None, **mistake}
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Keras' own
        DenseNet121(**arguments)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - each case has its own words
        small(**arguments)
    assert str(raised.value)


#: Mistakes about trained weights, as arguments of DenseNet121 and of the network whose weights the package holds.
WEIGHTS_MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "classes": ({"classes": 7}, {"classes": 7}, "classes must be 10, got 7"),
    "size": ({"input_shape": (64, 64, 3)}, {"input_shape": (16, 16, 1)}, r"input_shape must be \(8, 8, 1\)"),
    "channels with top": ({"input_shape": (224, 224, 1)}, {"input_shape": (8, 8, 3)}, "input_shape must be"),
    "channels without top": (
        {"input_shape": (64, 64, 1), "include_top": False},
        {"input_shape": (16, 16, 3), "include_top": False},
        "must have 1 channels",
    ),
    "any size with top": (
        {"input_shape": (None, None, 3)},
        {"input_shape": (None, None, 1)},
        r"input_shape must be \(8, 8, 1\)",
    ),
    "activation": ({"classifier_activation": "relu"}, {"classifier_activation": "relu"}, "None or 'softmax'"),
    "activation function": (
        {"classifier_activation": tf.nn.relu},
        {"classifier_activation": tf.nn.relu},
        "None or 'softmax'",
    ),
}


@pytest.mark.parametrize(("keras", "ours", "message"), WEIGHTS_MISTAKES.values(), ids=WEIGHTS_MISTAKES.keys())
def test_mistakes_about_trained_weights_are_value_errors_as_in_keras(
    keras: dict[str, Any], ours: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Keras' own
        DenseNet121(weights="imagenet", **keras)
    with pytest.raises(ValueError, match=message):
        MeliusNetTiny(weights="digits", **ours)


@pytest.mark.long
def test_trained_weights_load_with_every_head() -> None:
    x = noise(5, 8, 8, 1)
    model = MeliusNetTiny()
    probabilities = model(x).numpy()
    assert probabilities.shape == (5, 10)
    np.testing.assert_allclose(get_model("meliusnettiny", weights="digits")(x), probabilities)
    for activation in (None, "linear", tf.keras.activations.linear):
        logits = MeliusNetTiny(classifier_activation=activation)(x)
        np.testing.assert_allclose(tf.nn.softmax(logits), probabilities, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        MeliusNetTiny(classifier_activation=tf.keras.activations.softmax)(x), probabilities, rtol=1e-5
    )
    features = MeliusNetTiny(include_top=False, pooling="avg", input_shape=(8, 8, 1))(x)
    kernel, bias = model.get_layer("predictions").get_weights()
    np.testing.assert_allclose(tf.nn.softmax(features @ kernel + bias), probabilities, rtol=1e-4, atol=1e-6)
    assert MeliusNetTiny(include_top=False, input_shape=(16, 24, 1)).output_shape == (None, 8, 12, 224)
    # Without the top, the number of classes and the activation mean nothing.
    assert MeliusNetTiny(include_top=False, classes=7, classifier_activation="relu").output_shape[-1] == 224


def test_trained_weights_are_for_one_stem_and_network() -> None:
    with pytest.raises(ValueError, match=r"the thumbnail stem only.*stem='thumbnail'"):
        MeliusNetTiny(stem="grouped", input_shape=(32, 32, 1))
    with pytest.raises(ValueError, match="no 'digits' weights for MeliusNet22"):
        get_model("MeliusNet22", weights="digits")
    with pytest.raises(ValueError, match="no 'imagenet' weights for a network of your own"):
        small(weights="imagenet")


def test_activations_that_weights_allow_are_those_of_keras(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"input_shape": (8, 8, 3), "classes": 4, "stem": "thumbnail"}
    model = MeliusNet([1], [], **arguments)
    path = save_packed(model, tmp_path / "weights.npz")
    for activation in (None, "linear", "softmax", tf.keras.activations.softmax, tf.keras.activations.linear):
        validate_activation(activation, str(path))
        MeliusNet([1], [], weights=path, classifier_activation=activation, **arguments)
    for activation in ("sigmoid", tf.keras.activations.relu, tf.nn.softmax):
        with pytest.raises(ValueError, match="classifier_activation must be None or 'softmax'"):
            MeliusNet([1], [], weights=path, classifier_activation=activation, **arguments)
        with pytest.raises(ValueError, match="Only `None` and `softmax`"):
            validate_activation(activation, str(path))


def test_a_folder_is_no_weight_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "instagram").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no 'instagram' weights for MeliusNet22"):
        get_model("MeliusNet22", weights="instagram")
    with pytest.raises(ValueError, match="There is no weight file"):
        get_model("MeliusNet22", weights=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stem": "conv5x5"}, "Unknown stem 'conv5x5'"),
        ({"convention": "caffe"}, "Unknown convention 'caffe'"),
        ({"pooling": "sum", "include_top": False}, "Unknown pooling 'sum'"),
        ({"classes": 0}, "classes must be at least 1, got 0"),
        ({"input_tensor": tf.keras.Input((64,))}, "three integers"),
        ({"input_tensor": tf.keras.Input((8, 8, 3))}, "at least 32x32"),
        ({"input_shape": (64, 64, 3), "input_tensor": tf.keras.Input((96, 64, 3))}, r"has the shape \(96, 64, 3\)"),
        ({"input_shape": (7, 8, 3), "stem": "thumbnail"}, "at least 8x8"),
    ],
)
def test_our_own_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_model("MeliusNetC", **{"weights": None, **arguments})


def test_channels_first_is_refused() -> None:
    tf.keras.backend.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels_last only"):
            MeliusNetTiny(weights=None)
    finally:
        tf.keras.backend.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        (MeliusNet, {"num_blocks": [], "transition_filters": []}, "at least one block to each stage"),
        (MeliusNet, {"num_blocks": [1, 0], "transition_filters": [64]}, "at least one block to each stage"),
        (MeliusNet, {"num_blocks": [1, 1], "transition_filters": []}, "2 stages need 1 transition_filters"),
        (MeliusNet, {"num_blocks": [1], "transition_filters": [64]}, "1 stages need 0 transition_filters"),
        (MeliusNet, {"num_blocks": [1], "transition_filters": [], "growth_rate": 0}, "growth_rate must be"),
        (MeliusNet, {"num_blocks": [1, 1], "transition_filters": [64], "transition_groups": 0}, "transition_groups"),
        (MeliusNet, {"num_blocks": [1, 1], "transition_filters": [66], "transition_groups": 4}, "transition_groups"),
        (MeliusNet, {"num_blocks": [1], "transition_filters": [], "improvement": "some"}, "Unknown improvement"),
        (ResNetE, {"num_blocks": []}, "at least one block to each stage"),
        (ResNetE, {"num_blocks": [1, -1], "filters": [64, 64]}, "at least one block to each stage"),
        (ResNetE, {"num_blocks": [1, 1], "filters": [64]}, "2 stages need as many filters"),
    ],
)
def test_errors_of_the_generic_builders(builder: Callable[..., Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        builder(**arguments)


def test_channels_that_the_groups_do_not_divide_are_a_value_error() -> None:
    # 64 channels of the stem and 24 of the block arrive at the shuffle.
    with pytest.raises(ValueError, match="88 channels in 16 groups"):
        MeliusNet([1, 1], [64], transition_groups=2, growth_rate=24, input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match="88 channels in 3 groups"):
        MeliusNet([1, 1], [64], transition_groups=2, shuffle_groups=3, growth_rate=24, input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match="groups must be at least 1, got 0"):
        MeliusNet([1, 1], [64], transition_groups=2, shuffle_groups=0, input_shape=(32, 32, 3))


def test_more_stages_than_pixels_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="Negative dimension"):
        MeliusNet([1] * 5, [64] * 4, input_shape=(32, 32, 3))


def test_networks_by_name() -> None:
    model = get_model("mElIuSnEtTiNy", weights=None, classes=3)
    assert model.name == "meliusnettiny"
    assert model.output_shape == (None, 3)
    with pytest.raises(ValueError, match=r"Unknown model 'MeliusNet99'; choose one of MeliusNet22, .*BiRealNet34"):
        get_model("MeliusNet99")
    with pytest.raises(ValueError, match="Unknown model ''"):
        get_model("")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("binary*", ["BinaryDenseNet28", "BinaryDenseNet37", "BinaryDenseNet45"]),
        ("MELIUSNET[ABC]", ["MeliusNetA", "MeliusNetB", "MeliusNetC"]),
        ("*34", ["BiRealNet34"]),
        ("meliusnet", []),
    ],
)
def test_names_by_pattern(pattern: str, names: list[str]) -> None:
    assert list_models(pattern) == names


def test_answers_of_list_models_can_be_changed() -> None:
    list_models().clear()
    assert list_models()


def test_an_input_tensor_may_leave_its_size_open() -> None:
    model = small(input_tensor=tf.keras.Input((None, None, 3)), classes=10)
    assert model(np.zeros((1, 40, 48, 3), "float32")).shape == (1, 10)


def test_builders_take_a_config() -> None:
    x = noise(5, 8, 8, 1)
    model = MeliusNet(MELIUSNET_TINY, weights="digits")
    np.testing.assert_array_equal(model(x), MeliusNetTiny()(x))
    assert model.name == "meliusnettiny"
    wider = MeliusNet(replace(MELIUSNET_TINY, name=None, growth_rate=32), include_top=False, classes=3)
    assert (wider.name, wider.output_shape) == ("meliusnet", (None, None, None, 96 + 2 * 32))
    short = ResNetE(replace(BIREALNET34, num_blocks=(1, 1), filters=(64, 96)), include_top=False)
    assert (short.name, short.output_shape) == ("birealnet34", (None, None, None, 96))
    with pytest.raises(ValueError, match=r"dataclasses\.replace"):
        MeliusNet(MELIUSNET_TINY, growth_rate=32)
    with pytest.raises(ValueError, match=r"dataclasses\.replace"):
        ResNetE(BIREALNET34, filters=(64, 64, 64, 64))
    with pytest.raises(ValueError, match="2 stages need 1 transition_filters"):
        replace(MELIUSNET_TINY, transition_filters=())


def test_first_lines_lead_to_what_works() -> None:
    with pytest.raises(ValueError, match=r"weights=None.*path of a file.*MeliusNet22, ResNetE18 \(stem='conv7x7'\)"):
        larq_melius.MeliusNet42()
    with pytest.raises(ValueError, match=r"pass stem='conv7x7'"):
        larq_melius.BinaryDenseNet28()
    with pytest.raises(ValueError, match="MeliusNetTiny has 'digits' weights"):
        MeliusNetTiny(weights="imagenet")


def test_binary_layers_without_a_constraint_build_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    model = small(input_shape=(32, 32, 3))
    assert model.get_layer("stage1_block1_dense_conv").kernel_constraint is None
    tf.keras.models.clone_model(model)
    assert not caplog.records
