"""Makes a release of a checkpoint: weight files, their hashes, a model card and the entries for the registry."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.files import check_writable, write_atomically
from larq_melius.models.registry import find_variant
from larq_melius.models.variants import Variant
from larq_melius.preprocessing import IMAGENET, Preprocessing
from larq_melius.reference_implementations import AUTHORS
from larq_melius.stems import Stem
from larq_melius.weights.packed import save_packed
from larq_melius.weights.records import WeightsRecord, check_tag, find_record
from larq_melius.weights.store import file_hash
from larq_melius.zoo.classifiers import Classifier, imagenet_labels
from larq_melius.zoo.publishing.evaluation_report import Evaluation
from larq_melius.zoo.publishing.model_card import Provenance, write_card

CARD = "MODEL_CARD.md"
CHECKSUMS = "SHA256SUMS"
REGISTRY = "registry.json"

#: Random images that the release and the checkpoint are compared on.
_SAMPLES = 8
# The signs of binary kernels and all other float32 numbers come back as they were, so the same sums are taken of the
# same numbers; only the order of a sum may differ, by which its threads share it out. That moves a result by some
# units in the last of float32's 24 bits, and this is 100 of them.
_TOLERANCE = 100 * 2.0**-23


@dataclass(frozen=True)
class _Trained:
    """A checkpoint in its network, with all that users of its weights need to know."""

    variant: Variant
    model: tf.keras.Model
    stem: str
    convention: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def input_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.model.input_shape[1:]
        return height, width, channels

    @property
    def backbone(self) -> tf.keras.Model:
        """The network without its top."""
        return tf.keras.Model(self.model.input, self.model.get_layer("avg_pool").input, name=self.model.name)

    def classifier(self) -> Classifier:
        return Classifier(self.input_shape, self.preprocessing, self.classes, self.model.predict_on_batch)


def publish(
    checkpoint: str | os.PathLike[str],
    model: str,
    tag: str,
    folder: str | os.PathLike[str],
    *,
    evaluation: Evaluation | Callable[[Classifier], Evaluation],
    provenance: Provenance,
    stem: str | None = None,
    convention: str | None = None,
    input_shape: tuple[int, int, int] | None = None,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    url_base: str | None = None,
    with_latent: bool = False,
) -> tuple[WeightsRecord, WeightsRecord]:
    """Writes the release folder of a checkpoint, once its weights have been loaded back as users will load them.

    Args:
        checkpoint: Trained weights, as ``weights=`` takes them.
        model: Name of the network.
        tag: What users will pass as ``weights=``, the data set by custom.
        folder: The folder to write; it must not exist yet.
        evaluation: The accuracy, or what measures it, such as ``evaluate_folder``.
        provenance: Where the weights and their accuracy come from, in words.
        stem: The network's stem, unless it is its usual one.
        convention: Padding convention the weights were trained under, unless it is the authors'.
        input_shape: Height, width and channels, unless they are the network's usual ones.
        classes: Names of the classes in the order of the outputs, unless they are ImageNet's.
        preprocessing: How images become inputs, unless it is ImageNet's.
        url_base: Address of the folder that the files will be downloaded from.
        with_latent: Whether to write the latent weights, too, from which training can go on.

    Returns:
        The entries of the files with and without the classifier.

    Raises:
        OSError: If a file cannot be read or written.
        RuntimeError: If the release does not compute what the checkpoint does.
        ValueError: If an argument is wrong, or the checkpoint is damaged or does not fit.
    """
    folder = Path(folder)
    _check(tag, folder, url_base)
    trained = _open(checkpoint, model, stem, convention, input_shape, classes, preprocessing)
    if with_latent and not _has_latent_weights(trained.model):
        raise ValueError(
            f"{checkpoint} has no latent weights: its binary kernels are signs alone. Publish the checkpoint that the "
            "training wrote, or leave the latent weights out."
        )
    measured = evaluation if isinstance(evaluation, Evaluation) else evaluation(trained.classifier())
    if not measured.data:
        raise ValueError("The evaluation does not say what was measured on: give it its 'data'.")
    with _staging(folder) as release:
        records = _write(release, trained, tag, measured, provenance, url_base, with_latent)
        _prove(release, trained, tag)
        os.rename(release, folder)
    return records


def _check(tag: str, folder: Path, url_base: str | None) -> None:
    check_tag(tag)
    if url_base is not None and "://" not in url_base:
        raise ValueError(
            f"The address of the files must be a URL such as https://example.org/weights, got {url_base!r}."
        )
    if folder.exists() or folder.is_symlink():
        raise ValueError(f"{folder} exists already: publish to a new folder.")
    if not folder.parent.is_dir():
        raise ValueError(f"There is no folder {folder.parent} to write {folder.name} in.")
    check_writable(folder)


def _open(
    checkpoint: str | os.PathLike[str],
    model: str,
    stem: str | None,
    convention: str | None,
    input_shape: tuple[int, int, int] | None,
    classes: Sequence[str] | None,
    preprocessing: Preprocessing | None,
) -> _Trained:
    variant = find_variant(model)
    stem = stem or variant.stem
    record = find_record(variant.name, str(checkpoint), stem)
    classes = classes if classes is not None else record.classes if record else None
    arguments: dict[str, Any] = {"stem": stem, "convention": convention, "input_shape": input_shape}
    if classes is not None:
        arguments["classes"] = len(classes)
    network = variant.function(weights=checkpoint, classifier_activation=None, **arguments)
    if not all(np.isfinite(value).all() for value in network.get_weights()):
        raise ValueError(f"{checkpoint} holds weights that are not finite numbers.")
    return _Trained(
        variant,
        network,
        stem,
        convention or (record.convention if record else AUTHORS.name),
        _named(classes, network),
        _normalized(preprocessing or (record.preprocessing if record else None), network),
    )


def _named(classes: Sequence[str] | None, network: tf.keras.Model) -> tuple[str, ...]:
    count = network.output_shape[-1]
    names = tuple(classes) if classes is not None else imagenet_labels(count)
    if not names:
        raise ValueError(f"The names of the network's {count} classes are needed (--labels).")
    return names


def _normalized(preprocessing: Preprocessing | None, network: tf.keras.Model) -> Preprocessing:
    channels = network.input_shape[-1]
    chosen = preprocessing or IMAGENET
    if {len(chosen.mean), len(chosen.std)} != {channels}:
        raise ValueError(f"The network's images have {channels} channels: give mean and std for as many.")
    return chosen


def _has_latent_weights(network: tf.keras.Model) -> bool:
    kernels = [layer.kernel.numpy() for layer in network.layers if isinstance(layer, lq.layers.QuantConv2D)]
    return any((np.abs(kernel) != 1).any() for kernel in kernels)


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A new folder of the same name beside ``folder``, within one that goes away whatever happens."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        release = Path(temporary) / folder.name
        release.mkdir()
        yield release


def _write(
    release: Path,
    trained: _Trained,
    tag: str,
    measured: Evaluation,
    provenance: Provenance,
    url_base: str | None,
    with_latent: bool,
) -> tuple[WeightsRecord, WeightsRecord]:
    name = f"{trained.variant.name}_{tag}_{trained.stem}".lower()
    paths = (
        save_packed(trained.model, release / f"{name}.npz"),
        save_packed(trained.backbone, release / f"{name}_notop.npz"),
    )
    latent = release / f"{name}_latent.h5" if with_latent else None
    if latent is not None:
        trained.model.save_weights(latent)
    record = WeightsRecord(
        model=trained.variant.name,
        tag=tag,
        stem=cast(Stem, trained.stem),
        convention=trained.convention,
        file=paths[0].name,
        sha256="",
        input_shape=trained.input_shape,
        classes=trained.classes,
        preprocessing=trained.preprocessing,
        top1=measured.top1,
        top5=measured.top5,
        trained_on=f"{provenance.trained_on.rstrip('. ')}; accuracy on {measured.data} ({measured.images:,} images)",
        source=provenance.source,
        license=provenance.license,
        measured_by=provenance.measured_by,
    )
    with_top, without_top = (_of_file(record, path, url_base) for path in paths)
    without_top = replace(without_top, include_top=False)
    entries = [with_top.to_dict(), without_top.to_dict()]
    write_atomically(release / REGISTRY, (json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode())
    card = write_card(with_top, trained.model, measured, provenance, sorted(release.glob(f"{name}*")), latent)
    write_atomically(release / CARD, card.encode())
    sums = "".join(f"{file_hash(path)}  {path.name}\n" for path in sorted(release.iterdir()))
    write_atomically(release / CHECKSUMS, sums.encode())
    return with_top, without_top


def _of_file(record: WeightsRecord, path: Path, url_base: str | None) -> WeightsRecord:
    urls = () if url_base is None else (f"{url_base.rstrip('/')}/{quote(path.name)}",)
    return replace(record, file=path.name, sha256=file_hash(path), bytes=path.stat().st_size, urls=urls)


def _prove(release: Path, trained: _Trained, tag: str) -> None:
    """Loads the release as users will, by its entries and from its files alone, and compares what it computes.

    Raises:
        RuntimeError: If that is not what the checkpoint computes.
    """
    home = release.with_name("home")
    home.mkdir()
    shutil.copyfile(release / REGISTRY, home / REGISTRY)
    pixels = np.random.default_rng(0).integers(0, 256, (_SAMPLES, *trained.input_shape))
    images = trained.preprocessing.normalize(pixels)
    outputs = [trained.model.get_layer("avg_pool").output, trained.model.output]
    environment = {"LARQ_MELIUS_HOME": str(home), "LARQ_MELIUS_MIRROR": str(release), "LARQ_MELIUS_OFFLINE": "1"}
    # Some kernels of GPUs add up in another order each time, and then a sign behind a sum near zero may turn.
    with _environment(environment), tf.device("CPU"):
        load = trained.variant.function
        expected_features, expected = tf.keras.Model(trained.model.input, outputs)(images, training=False)
        whole = load(weights=tag, stem=trained.stem, classes=len(trained.classes), classifier_activation=None)
        backbone = load(
            weights=tag, stem=trained.stem, include_top=False, pooling="avg", input_shape=trained.input_shape
        )
        _check_same("features", expected_features, backbone(images, training=False))
        _check_same("logits", expected, whole(images, training=False))
        for path in release.glob("*_latent.h5"):
            _check_latent(trained, path)


def _check_same(what: str, expected: tf.Tensor, found: tf.Tensor) -> None:
    a, b = expected.numpy(), found.numpy()
    if not np.isfinite(a).all():
        raise ValueError(f"The checkpoint's {what} are not finite numbers: its weights are damaged.")
    difference = np.abs(a - b).max()
    if difference > _TOLERANCE * np.abs(a).max() or (a.argmax(axis=-1) != b.argmax(axis=-1)).any():
        raise RuntimeError(
            f"The published weights do not compute what the checkpoint does: their {what} differ by {difference:.2g}."
        )


def _check_latent(trained: _Trained, path: Path) -> None:
    again = trained.variant.function(
        weights=path,
        stem=trained.stem,
        convention=trained.convention,
        input_shape=trained.input_shape,
        classes=len(trained.classes),
    )
    pairs = zip(trained.model.get_weights(), again.get_weights(), strict=True)
    if not all(np.array_equal(a, b) for a, b in pairs):
        raise RuntimeError("The published latent weights are not those of the checkpoint.")


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
