"""Makes a release of a checkpoint: weight files, their hashes, a model card and the entries for the registry."""

import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast
from urllib.parse import quote

import larq as lq
import numpy as np
import tensorflow as tf

from larq_melius.converters.export.verify import logits_model
from larq_melius.files import check_writable, write_atomically
from larq_melius.models import get_model
from larq_melius.stems import Stem
from larq_melius.weights.cache import WeightCache, use_cache
from larq_melius.weights.packed import save_packed
from larq_melius.weights.records import WeightsRecord, check_tag
from larq_melius.weights.store import file_hash
from larq_melius.zoo.classifiers import Classifier, Network
from larq_melius.zoo.evaluation import Evaluation
from larq_melius.zoo.publishing.model_card import ModelCard, Provenance

CARD = "MODEL_CARD.md"
CHECKSUMS = "SHA256SUMS"
REGISTRY = "registry.json"
#: End of the name of the file with the latent weights.
_LATENT = "_latent.h5"

#: Random images that the release and the checkpoint are compared on.
_SAMPLES = 8
# The signs of binary kernels and all other float32 numbers come back unchanged, so the same numbers are added up; only
# the order may differ, since threads share the work. That moves a result by some units in the last place of float32;
# this allows 100.
_TOLERANCE = 100 * 2.0**-23


def publish(
    network: Network,
    tag: str,
    folder: str | os.PathLike[str],
    *,
    evaluation: Evaluation | Callable[[Classifier], Evaluation],
    provenance: Provenance,
    url_base: str | None = None,
    with_latent: bool = False,
) -> tuple[WeightsRecord, WeightsRecord]:
    """Writes the release folder of a trained network, once its weights have been loaded back as users will load them.

    Args:
        network: A network of the zoo, as ``load_network(name, weights=checkpoint)`` gives it.
        tag: What users will pass as ``weights=``, by custom the name of the data set.
        folder: The folder to write; it must not exist yet.
        evaluation: The accuracy, or what measures it, such as ``evaluate_folder``.
        provenance: Where the weights and their accuracy come from, in words.
        url_base: Address of the folder that the files will be downloaded from.
        with_latent: Whether to write the latent weights, too, from which training can continue.

    Returns:
        The entries of the files with and without the classifier.

    Raises:
        OSError: If a file cannot be read or written.
        RuntimeError: If the release does not compute what the network does.
        ValueError: If an argument is wrong, the weights are not finite, or the names of the classes are unknown.
    """
    folder = Path(folder)
    check_release(tag, folder, url_base)
    if network.variant is None:
        raise ValueError(f"{network.source} is a saved model; name its network of the zoo and pass it as weights.")
    preprocessing = network.known_preprocessing()
    if not network.labels:
        raise ValueError(f"The names of the network's {network.model.output_shape[-1]} classes are needed (--labels).")
    if not all(np.isfinite(value).all() for value in network.model.get_weights()):
        raise ValueError(f"{network.source} holds weights that are not finite numbers.")
    if with_latent and not _has_latent_weights(network.model):
        raise ValueError(
            f"{network.source} has no latent weights: its binary kernels are signs alone. Publish the checkpoint that "
            "the training wrote, or leave the latent weights out."
        )
    measured = evaluation if isinstance(evaluation, Evaluation) else evaluation(network.classifier())
    if not measured.data:
        raise ValueError("The evaluation does not say what was measured on: give it its 'data'.")
    template = WeightsRecord(
        model=network.variant.name,
        tag=tag,
        stem=cast(Stem, network.variant.stem),  # the network was built with it
        convention=network.variant.convention,
        file=f"{network.variant.name}_{tag}_{network.variant.stem}.npz".lower(),
        sha256="",
        input_shape=network.model.input_shape[1:],
        classes=network.labels,
        preprocessing=preprocessing,
        top1=measured.top1,
        top5=measured.top5,
        trained_on=f"{provenance.trained_on.rstrip('. ')}; accuracy on {measured.data} ({measured.images:,} images)",
        source=provenance.source,
        license=provenance.license,
        measured_by=provenance.measured_by,
    )
    with _staging(folder) as release:
        records = _write_weights(release, network, template, url_base, with_latent)
        _write_texts(release, network, records, measured, provenance)
        _check_loaded(release, network, template)
        os.rename(release, folder)
    return records


def check_release(tag: str, folder: str | os.PathLike[str], url_base: str | None = None) -> None:
    """Checks where a release is to go, before anything that takes long.

    Raises:
        ValueError: If the tag or the address is none, the folder exists, or its parent does not.
    """
    folder = Path(folder)
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


def _has_latent_weights(model: tf.keras.Model) -> bool:
    kernels = [layer.kernel.numpy() for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]
    return any((np.abs(kernel) != 1).any() for kernel in kernels)


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A new folder of the same name beside ``folder``, within one that goes away whatever happens."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        release = Path(temporary) / folder.name
        release.mkdir()
        yield release


def _write_weights(
    release: Path, network: Network, template: WeightsRecord, url_base: str | None, with_latent: bool
) -> tuple[WeightsRecord, WeightsRecord]:
    """Writes the weight files, and returns the entries of those with and without the classifier."""
    name = Path(template.file).stem
    model = network.model
    backbone = tf.keras.Model(model.input, model.get_layer("avg_pool").input, name=model.name)
    with_top = save_packed(model, release / f"{name}.npz")
    without_top = save_packed(backbone, release / f"{name}_notop.npz")
    if with_latent:
        model.save_weights(release / f"{name}{_LATENT}")
    return (
        _with_file(template, with_top, url_base),
        replace(_with_file(template, without_top, url_base), include_top=False),
    )


def _with_file(template: WeightsRecord, path: Path, url_base: str | None) -> WeightsRecord:
    urls = () if url_base is None else (f"{url_base.rstrip('/')}/{quote(path.name)}",)
    return replace(template, file=path.name, sha256=file_hash(path), bytes=path.stat().st_size, urls=urls)


def _write_texts(
    release: Path,
    network: Network,
    records: tuple[WeightsRecord, WeightsRecord],
    measured: Evaluation,
    provenance: Provenance,
) -> None:
    """Writes the entries for the registry, the model card, and the hashes of all files."""
    files = sorted(release.iterdir())
    entries = [record.to_dict() for record in records]
    write_atomically(release / REGISTRY, (json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode())
    card = ModelCard(
        record=records[0],
        model=network.model,
        evaluations={measured.data: measured},
        provenance=provenance,
        files=files,
        author="larq-melius weights publish",
        loading=_loading(records[0], files),
    )
    write_atomically(release / CARD, card.to_markdown().encode())
    sums = "".join(f"{file_hash(path)}  {path.name}\n" for path in sorted(release.iterdir()))
    write_atomically(release / CHECKSUMS, sums.encode())


def _loading(record: WeightsRecord, files: list[Path]) -> str:
    """The part of the model card on how to load the files."""
    arguments = {
        "weights": f'"{record.file}"',
        "stem": f'"{record.stem}"',
        "convention": f'"{record.convention}"',
        "classes": len(record.classes),
        "input_shape": record.input_shape,
    }
    lines = "".join(f"    {name}={value},\n" for name, value in arguments.items())
    latent = next((f" Training can continue from `{path.name}`." for path in files if path.match(f"*{_LATENT}")), "")
    return f"""`sha256sum -c {CHECKSUMS}` checks the files.{latent}

```python
import larq_melius as lm

model = lm.{record.model}(
{lines})
```

With the entries of `{REGISTRY}` in the registry, it is `lm.{record.model}(weights="{record.tag}")`, plus the stem and
the number of classes where they are not the network's usual ones. To try that before the package knows the entries, put
`{REGISTRY}` in an empty folder, set `LARQ_MELIUS_HOME` to that folder and `LARQ_MELIUS_MIRROR` to this one."""


def _check_loaded(release: Path, network: Network, template: WeightsRecord) -> None:
    """Loads the release as users will, by its entries and from its files alone, and compares what it computes.

    Raises:
        RuntimeError: If that is not what the network computes.
    """
    home = release.with_name("home")
    home.mkdir()
    shutil.copyfile(release / REGISTRY, home / REGISTRY)
    shape = template.input_shape
    pixels = np.random.default_rng(0).integers(0, 256, (_SAMPLES, *shape))
    images = template.preprocessing.normalize(pixels)
    logits = logits_model(network.model)
    outputs = [logits.get_layer("avg_pool").output, logits.output]
    load = functools.partial(get_model, template.model, stem=template.stem)
    # Some GPU kernels add up in another order each time, which may flip the sign of a sum near zero.
    with use_cache(WeightCache(home, mirror=str(release), offline=True)), tf.device("CPU"):
        expected_features, expected = tf.keras.Model(logits.input, outputs)(images, training=False)
        whole = load(weights=template.tag, classes=len(template.classes), classifier_activation=None)
        backbone = load(weights=template.tag, include_top=False, pooling="avg", input_shape=shape)
        _check_same("features", expected_features, backbone(images, training=False))
        _check_same("logits", expected, whole(images, training=False))
        for path in release.glob(f"*{_LATENT}"):
            again = load(weights=path, convention=template.convention, input_shape=shape, classes=len(template.classes))
            pairs = zip(network.model.get_weights(), again.get_weights(), strict=True)
            if not all(np.array_equal(a, b) for a, b in pairs):
                raise RuntimeError("The published latent weights are not those of the checkpoint.")


def _check_same(what: str, expected: tf.Tensor, found: tf.Tensor) -> None:
    a, b = expected.numpy(), found.numpy()
    if not np.isfinite(a).all():
        raise ValueError(f"The checkpoint's {what} are not finite numbers: its weights are damaged.")
    difference = np.abs(a - b).max()
    if difference > _TOLERANCE * np.abs(a).max() or (a.argmax(axis=-1) != b.argmax(axis=-1)).any():
        raise RuntimeError(
            f"The published weights do not compute what the checkpoint does: their {what} differ by {difference:.2g}."
        )
