"""Runs a network of the authors' on MXNet with random weights and records what another implementation must repeat.

Works only in an environment with MXNet (see requirements-mxnet.txt), and imports nothing of this project:

    python bmxnet_reference.py network MeliusNet22 reference.npz --stem conv7x7 --size 224
    python bmxnet_reference.py formats ../data

The networks are built from MXNet's own layers, nested and named so that their parameters get the names that the
authors' code gives them. The 1-bit convolution, an operator of the authors' fork of MXNet, is emulated: signs, a border
of -1, a convolution of the signs, and (sum + number of terms) / 2.

``network`` writes, under these names: ``input`` (batch, height, width, channels) in float32; ``logits`` (batch,
classes) as computed in float64, and ``logits32`` as computed in float32; ``parameters`` and ``exported``, the bytes of
the files that ``save_parameters`` and ``export`` write. ``formats`` writes a small file for each variety of the format.
"""

import argparse
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.contrib.nn import HybridConcurrent, Identity

STEMS = ("conv7x7", "grouped", "thumbnail")
STEM_FILTERS = 64


@dataclass(frozen=True)
class Melius:
    """Blocks of each stage, filters of the transitions, and the rest of a MeliusNet or one of its relatives."""

    blocks: tuple
    filters: tuple
    groups: int = 1
    shuffle: int = 16
    growth: int = 64
    improvement: str = "newest"
    classes: int = 1000


@dataclass(frozen=True)
class Residual:
    """Convolutions and filters of each stage of a ResNetE."""

    convolutions: tuple
    filters: tuple = (64, 128, 256, 512)
    classes: int = 1000


NETWORKS = {
    "MeliusNet22": Melius((4, 5, 4, 4), (160, 224, 256)),
    "MeliusNetC": Melius((3, 5, 10, 6), (128, 192, 288), groups=4),
    "DenseNet28": Melius((6, 6, 6, 5), (160, 192, 256), improvement=""),
    "NaiveNet17": Melius((3, 3, 3, 3), (128, 160, 192), improvement="all"),
    "ResNetE18": Residual((4, 4, 4, 4)),
    "TinyMeliusNet": Melius((1, 1), (4,), groups=2, shuffle=3, growth=2, classes=3),
    "TinyNaiveNet": Melius((1, 1), (4,), growth=2, improvement="all", classes=3),
    "TinyResNetE": Residual((2, 2), (64, 8), classes=3),
}


class SignConvolution(HybridBlock):
    """What the authors' fork calls QConv2D; the class decides on its parameter's name in exported files."""

    def __init__(self, channels, in_channels, stride):
        super().__init__()
        self.stride = stride
        self.terms = 9 * in_channels
        self.channels = channels
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(channels, in_channels, 3, 3))

    def _alias(self):
        return "qconv"

    def hybrid_forward(self, F, x, weight):  # noqa: N803 - MXNet's own name
        padded = F.pad((x >= 0) * 2 - 1, mode="constant", pad_width=(0, 0, 0, 0, 1, 1, 1, 1), constant_value=-1)
        signs = (weight >= 0) * 2 - 1
        strides = (self.stride, self.stride)
        h = F.Convolution(padded, signs, kernel=(3, 3), stride=strides, num_filter=self.channels, no_bias=True)
        return (h + self.terms) / 2


class BinaryConvolution(HybridBlock):
    """The wrapper that puts ``qconv`` into the names."""

    def __init__(self, channels, in_channels, stride=1):
        super().__init__()
        self.qconv = SignConvolution(channels, in_channels, stride)

    def hybrid_forward(self, F, x):  # noqa: N803
        return self.qconv(x)


class Improvement(HybridBlock):
    def __init__(self, channels, in_channels):
        super().__init__(prefix="")
        self.kept = in_channels - channels
        self.body = nn.HybridSequential(prefix="")
        self.body.add(nn.BatchNorm(), BinaryConvolution(channels, in_channels))

    def hybrid_forward(self, F, x):  # noqa: N803
        if not self.kept:
            return x + self.body(x)
        old = F.slice_axis(x, axis=1, begin=0, end=self.kept)
        new = F.slice_axis(x, axis=1, begin=self.kept, end=None)
        return F.concat(old, new + self.body(x), dim=1)


class Shuffle(HybridBlock):
    def __init__(self, groups):
        super().__init__()
        self.groups = groups

    def hybrid_forward(self, F, x):  # noqa: N803
        grouped = F.reshape(x, shape=(0, -4, self.groups, -1, -2))
        return F.reshape(F.swapaxes(grouped, 1, 2), shape=(0, -3, -2))


class ResidualBlock(HybridBlock):
    def __init__(self, channels, in_channels, stride):
        super().__init__(prefix="")
        self.body = nn.HybridSequential(prefix="")
        self.body.add(BinaryConvolution(channels, in_channels, stride), nn.BatchNorm())
        self.downsample = None
        if channels != in_channels:
            self.downsample = nn.HybridSequential(prefix="")
            shortcut = nn.Conv2D(channels, 1, use_bias=False, in_channels=in_channels, prefix="sc_conv_")
            self.downsample.add(nn.AvgPool2D(2, 2), shortcut, nn.BatchNorm())

    def hybrid_forward(self, F, x):  # noqa: N803
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.body(x) + shortcut


def add_stem(features, stem):
    if stem == "thumbnail":
        features.add(nn.Conv2D(STEM_FILTERS, 3, padding=1, use_bias=False))
        return
    if stem == "conv7x7":
        features.add(nn.Conv2D(STEM_FILTERS, 7, strides=2, padding=3, use_bias=False))
    else:
        half = STEM_FILTERS // 2
        layers = nn.HybridSequential(prefix="stem_")
        with layers.name_scope():
            layers.add(nn.Conv2D(half, 3, strides=2, padding=1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
            layers.add(nn.Conv2D(half, 3, padding=1, groups=4, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
            layers.add(nn.Conv2D(STEM_FILTERS, 3, padding=1, groups=8, use_bias=False))
        features.add(layers)
    features.add(nn.BatchNorm(), nn.Activation("relu"), nn.MaxPool2D(3, 2, 1))


class MeliusNet(HybridBlock):
    def __init__(self, spec, stem, **kwargs):
        super().__init__(**kwargs)
        self.stages = len(spec.blocks)
        channels = STEM_FILTERS
        with self.name_scope():
            self.features = nn.HybridSequential(prefix="")
            add_stem(self.features, stem)
            for stage, count in enumerate(spec.blocks):
                layer = nn.HybridSequential(prefix="")
                if stage:
                    layer.add(self._transition(spec, spec.filters[stage - 1]))
                    channels = spec.filters[stage - 1]
                # The attribute stays behind and doubles the last stage in the file.
                self.current_stage = nn.HybridSequential(prefix=f"stage{stage + 1}_")
                with self.current_stage.name_scope():
                    for _ in range(count):
                        channels = self._add_block(self.current_stage, channels, spec)
                layer.add(self.current_stage)
                setattr(self, f"layer{stage}", layer)
            self.finalize = nn.HybridSequential(prefix="")
            pool = nn.AvgPool2D(4 if stem == "thumbnail" else 7)
            self.finalize.add(nn.BatchNorm(), nn.Activation("relu"), pool, nn.Flatten())
            self.output = nn.Dense(spec.classes)

    def _add_block(self, stage, channels, spec):
        new = nn.HybridSequential(prefix="")
        new.add(nn.BatchNorm(), BinaryConvolution(spec.growth, channels))
        block = HybridConcurrent(axis=1, prefix="")
        block.add(Identity(), new)
        stage.add(block)
        channels += spec.growth
        if spec.improvement:
            stage.add(Improvement(spec.growth if spec.improvement == "newest" else channels, channels))
        return channels

    def _transition(self, spec, filters):
        layers = nn.HybridSequential(prefix="")
        with layers.name_scope():
            layers.add(nn.BatchNorm(), nn.MaxPool2D(2, 2), nn.Activation("relu"))
            if spec.groups > 1:
                layers.add(Shuffle(spec.shuffle))
            layers.add(nn.Conv2D(filters, 1, groups=spec.groups, use_bias=False))
        return layers

    def hybrid_forward(self, F, x):  # noqa: N803
        x = self.features(x)
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage}")(x)
        return self.output(self.finalize(x))


class ResNetE(HybridBlock):
    def __init__(self, spec, stem, **kwargs):
        super().__init__(**kwargs)
        self.features = nn.HybridSequential(prefix="")
        # Outside the name scope, so that its name in exported files counts all networks of the process.
        self.output = nn.Dense(spec.classes, in_units=spec.filters[-1])
        with self.name_scope():
            self.features.add(nn.BatchNorm(scale=False, epsilon=2e-5))
            add_stem(self.features, stem)
            if stem != "thumbnail":
                self.features.add(nn.BatchNorm())
            channels = STEM_FILTERS
            for stage, (count, filters) in enumerate(zip(spec.convolutions, spec.filters)):  # noqa: B905
                layer = nn.HybridSequential(prefix=f"stage{stage + 1}_")
                with layer.name_scope():
                    for index in range(count):
                        layer.add(ResidualBlock(filters, channels, 2 if stage and not index else 1))
                        channels = filters
                self.features.add(layer)
            self.features.add(nn.Activation("relu"), nn.GlobalAvgPool2D(), nn.Flatten())

    def hybrid_forward(self, F, x):  # noqa: N803
        return self.output(self.features(x))


def find(block, kind):
    """All different blocks of a class within a block."""
    found = [block] if isinstance(block, kind) else []
    for child in block._children.values():
        found += [other for other in find(child, kind) if other not in found]
    return found


def randomize(net, image, random, coarse):
    """Gives every parameter and every statistic a random value that float32 holds.

    The statistics start from those that the image leaves behind, so that no feature is lost in its offset and every
    sign depends on the image. ``coarse`` keeps binary weights to -0.5 and 0.5 and repeats the kernels, which then
    compress well.
    """
    binary = {convolution.weight for convolution in find(net, SignConvolution)}
    for parameter in net.collect_params().values():
        values = random.standard_normal(parameter.shape) * 0.2
        if coarse and parameter in binary:
            values = np.where(values < 0, -0.5, 0.5)[np.arange(len(values)) % 4]
        parameter.set_data(mx.nd.array(values, dtype="float64"))
    norms = find(net, nn.BatchNorm)
    for norm in norms:
        shape = norm.gamma.shape
        gamma = random.uniform(0.5, 1.5, shape) * random.choice([-1, 1], shape)
        norm.gamma.set_data(mx.nd.array(gamma, dtype="float64"))
        norm.beta.set_data(mx.nd.array(0.5 * random.standard_normal(shape), dtype="float64"))
        norm._kwargs["momentum"] = 0.0
    with mx.autograd.record(train_mode=True):
        logits = net(image)
    # Only the backward pass updates the statistics.
    logits.backward()
    for norm in norms:
        mean, variance, gamma = (value.data().asnumpy() for value in (norm.running_mean, norm.running_var, norm.gamma))
        mean = mean + 0.5 * random.standard_normal(mean.shape) * np.sqrt(variance)
        # Variances down to the size of epsilon, so that a wrong epsilon shows; the scale makes up for them.
        factor = 10 ** random.uniform(-6, 0.5, variance.shape)
        norm.running_mean.set_data(mx.nd.array(mean, dtype="float64"))
        norm.running_var.set_data(mx.nd.array(variance * factor, dtype="float64"))
        norm.gamma.set_data(mx.nd.array(gamma * np.sqrt(factor), dtype="float64"))
    for parameter in net.collect_params().values():
        parameter.set_data(parameter.data().astype("float32").astype("float64"))


def files(net, image):
    """The bytes of both kinds of file that hold the network's parameters, and the logits in float32."""
    net.cast("float32")
    net.hybridize()
    logits = net(image)
    for norm in find(net, nn.BatchNorm):
        if norm._kwargs["fix_gamma"]:
            # MXNet takes 1 in its place, and stores what is there.
            norm.gamma.set_data(mx.nd.full(norm.gamma.shape, 1.7))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        net.save_parameters(str(path / "net.params"))
        net.export(str(path / "net"))
        contents = [(path / name).read_bytes() for name in ("net.params", "net-0000.params")]
    return contents, logits.asnumpy()


def record(arguments):
    random = np.random.default_rng(arguments.seed)
    spec = NETWORKS[arguments.network]
    shape = (arguments.batch, arguments.channels, arguments.size, arguments.size)
    values = random.standard_normal(shape).astype("float32")
    image = mx.nd.array(values, dtype="float64")
    build = MeliusNet if isinstance(spec, Melius) else ResNetE
    net = build(spec, arguments.stem)
    net.initialize()
    net.cast("float64")
    net(image)
    tiny = arguments.network.startswith("Tiny")
    randomize(net, image, random, coarse=tiny)
    logits = net(image).asnumpy()
    (parameters, exported), logits32 = files(net, mx.nd.array(values))
    arrays = {
        "input": values.transpose(0, 2, 3, 1),
        "logits": logits,
        "logits32": logits32,
        "parameters": np.frombuffer(parameters, np.uint8),
        "exported": np.frombuffer(exported, np.uint8),
    }
    # NumPy would compress less, and random weights do not compress at all.
    method = zipfile.ZIP_DEFLATED if tiny else zipfile.ZIP_STORED
    with zipfile.ZipFile(arguments.output, "w", method, compresslevel=9) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)


def write_formats(folder):
    """Small files of every variety that MXNet 1.9.1 writes."""
    types = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")
    arrays = {name: mx.nd.array(np.arange(6).reshape(2, 3) % 2, dtype=name) for name in types}
    arrays["vector"] = mx.nd.array([-1.5, 2.25, 1e-40])
    mx.nd.save(str(folder / "mxnet_types.params"), arrays)
    mx.nd.save(str(folder / "mxnet_unnamed.params"), [mx.nd.zeros((2,)), mx.nd.ones((1, 2))])
    mx.nd.save(str(folder / "mxnet_row_sparse.params"), {"sparse": mx.nd.array([[0, 0], [1, 2]]).tostype("row_sparse")})
    mx.nd.save(str(folder / "mxnet_csr.params"), {"sparse": mx.nd.array([[0, 0], [1, 2]]).tostype("csr")})
    with mx.util.np_shape(True):
        arrays = {"none": mx.nd.zeros((0, 3)), "scalar": 7 * mx.nd.ones(()), "matrix": mx.nd.ones((2, 2))}
        mx.nd.save(str(folder / "mxnet_numpy_shapes.params"), arrays)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    network = commands.add_parser("network")
    network.add_argument("network", choices=NETWORKS)
    network.add_argument("output", type=Path, help="the .npz file to write")
    network.add_argument("--stem", choices=STEMS, default="conv7x7")
    network.add_argument("--size", type=int, default=224, help="height and width of the images (MeliusNet: 224 or 32)")
    network.add_argument("--channels", type=int, default=3, help="channels of the images")
    network.add_argument("--batch", type=int, default=2, help="number of images")
    network.add_argument("--seed", type=int, default=1)
    formats = commands.add_parser("formats")
    formats.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "formats":
        write_formats(arguments.folder)
    else:
        record(arguments)


if __name__ == "__main__":
    main()
