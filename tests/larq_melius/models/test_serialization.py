"""Saving, loading and cloning whole models, without custom_objects."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from larq_melius import MeliusNet, ResNetE
from larq_melius.layers import UnitScale
from larq_melius.reference_implementations import AUTHORS

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")

BUILDERS: dict[str, Callable[[], tf.keras.Model]] = {
    "plain": lambda: MeliusNet([1, 1], [64], input_shape=(32, 32, 3), classes=10, convention="larq_zoo"),
    "grouped": lambda: MeliusNet([1, 1], [64], transition_groups=2, include_top=False, pooling="avg"),
    "resnet_e": lambda: ResNetE([1, 1], [64, 96], input_shape=(32, 32, 3), classes=10, stem="thumbnail"),
}
#: Those of the Larq Zoo's convention.
CLIPPING = ("plain",)
NETWORKS = pytest.mark.parametrize("network", BUILDERS)


def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, 32, 32, 3)).astype("float32")


@pytest.fixture(scope="module")
def models(randomize: Callable[..., None]) -> dict[str, tf.keras.Model]:
    built = {name: build() for name, build in BUILDERS.items()}
    for model in built.values():
        randomize(model)
    return built


def assert_equal_models(copy: tf.keras.Model, model: tf.keras.Model) -> None:
    expected = model(images()).numpy()
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(copy(images()), expected)
    # The model's own config also tells how each layer was built, which loading does another way.
    assert [layer.get_config() for layer in copy.layers] == [layer.get_config() for layer in model.layers]
    assert [type(layer) for layer in copy.layers] == [type(layer) for layer in model.layers]
    assert [w.shape for w in copy.trainable_weights] == [w.shape for w in model.trainable_weights]


def assert_trains_alike(copy: tf.keras.Model, *, clips_weights: bool) -> None:
    """What forward passes do not show: clipping, straight-through estimators, the scale held at one."""
    binary = [layer for layer in copy.layers if isinstance(layer, lq.layers.QuantConv2D)]
    assert len(binary) == 4
    for layer in binary:
        assert layer.input_quantizer.clip_value == 1.3
        if clips_weights:
            assert layer.kernel_constraint.clip_value == layer.kernel_quantizer.clip_value == 1.3
        else:
            assert layer.kernel_constraint is layer.kernel_quantizer.clip_value is None
    if copy.name == "resnet_e":
        assert isinstance(copy.get_layer("image_bn").gamma_constraint, UnitScale)


# A path without an ending makes a SavedModel.
@pytest.mark.long
@pytest.mark.parametrize(
    ("network", "ending"),
    [
        ("plain", ".keras"),
        ("plain", ".h5"),
        pytest.param("plain", "", marks=pytest.mark.slow),
        ("grouped", ".keras"),
        ("grouped", ".h5"),
        ("grouped", ""),
        ("resnet_e", ".keras"),
        ("resnet_e", ".h5"),
        ("resnet_e", ""),
    ],
)
def test_models_load_as_they_were_saved(
    models: dict[str, tf.keras.Model], network: str, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"model{ending}"
    models[network].save(path)
    copy = tf.keras.models.load_model(path)
    assert_equal_models(copy, models[network])
    assert_trains_alike(copy, clips_weights=network in CLIPPING)


@pytest.mark.process
def test_a_fresh_process_loads_models_after_importing_the_package(
    models: dict[str, tf.keras.Model], run_python: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    expected: dict[str, Any] = {}
    for network, ending in (("grouped", ".keras"), ("resnet_e", ".h5"), ("grouped", "")):
        models[network].save(tmp_path / f"{network}{ending}")
        expected[f"{network}{ending}"] = models[network](images()).numpy()
    np.savez(tmp_path / "expected.npz", images=images(), **expected)
    finished = run_python(
        """
        import larq_melius
        import numpy as np
        import tensorflow as tf

        with np.load("expected.npz") as stored:
            for name in set(stored.files) - {"images"}:
                model = tf.keras.models.load_model(name)
                # Another process may share the work among another number of threads.
                np.testing.assert_allclose(model(stored["images"]), stored[name], rtol=1e-4, atol=1e-5)
                print("equal", name)
        """
    )
    assert finished.returncode == 0, finished.stderr
    assert sorted(finished.stdout.split("\n")) == ["", "equal grouped", "equal grouped.keras", "equal resnet_e.h5"]


@NETWORKS
def test_models_come_back_from_their_config(models: dict[str, tf.keras.Model], network: str) -> None:
    model = models[network]
    rebuilt = type(model).from_config(model.get_config())
    for copy in (rebuilt, tf.keras.models.clone_model(model)):
        copy.set_weights(model.get_weights())
        assert_equal_models(copy, model)
        assert_trains_alike(copy, clips_weights=network in CLIPPING)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_files_of_networks_that_clipped_their_weights_still_load(
    randomize: Callable[..., None], ending: str, tmp_path: Path
) -> None:
    """Earlier versions clipped the latent weights under the authors' convention, too."""
    options: dict[str, Any] = {"stem": "thumbnail", "input_shape": (32, 32, 3), "classes": 10}
    old = MeliusNet([1, 1], [64], convention=replace(AUTHORS, clip_weights=True), **options)
    randomize(old)
    path = tmp_path / f"model{ending}"
    old.save(path)
    whole = tf.keras.models.load_model(path)
    assert_equal_models(whole, old)
    assert_trains_alike(whole, clips_weights=True)
    now = MeliusNet([1, 1], [64], weights=path, **options)
    np.testing.assert_array_equal(now(images()), old(images()))
    assert_trains_alike(now, clips_weights=False)
