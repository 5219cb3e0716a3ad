"""What may stand in the configuration of a saved model.

A configuration names the classes and functions that Keras calls to build the model, from any module that can be
imported: a file may name ``os.system`` as well as ``Conv2D``. Only a configuration that passes ``check_config`` names
nothing but the layers, initializers and so on of Keras, Larq and this package.
"""

import math
from collections.abc import Iterator
from typing import Any

from larq_melius import layers

_KERAS_LAYERS = """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D
    AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization Bidirectional CategoryEncoding
    CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D
    ConvLSTM3D Convolution1D Convolution2D Convolution3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D
    DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout
    GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
    GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU
    LocallyConnected1D LocallyConnected2D Masking MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D
    Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute RNN RandomBrightness RandomContrast
    RandomCrop RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth RandomZoom ReLU RepeatVector
    Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D
    SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract ThresholdedReLU TimeDistributed
    UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    TFOpLambda SlicingOpLambda
"""
_MODELS = {"Functional", "Model", "Sequential"}
_KERAS_PARTS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L1L2 L2 OrthogonalRegularizer
    MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm
    Policy
"""
_LARQ_CLASSES = """
    QuantConv1D QuantConv2D QuantConv2DTranspose QuantConv3D QuantConv3DTranspose QuantDense QuantDepthwiseConv2D
    QuantLocallyConnected1D QuantLocallyConnected2D QuantSeparableConv1D QuantSeparableConv2D
    ApproxSign DoReFa DoReFaQuantizer MagnitudeAwareSign NoOp NoOpQuantizer SteHeaviside SteSign SteTern SwishSign
    WeightClip
"""
_CLASSES = {
    *_KERAS_LAYERS.split(),
    *_MODELS,
    *_KERAS_PARTS.split(),
    *_LARQ_CLASSES.split(),
    *layers.__all__,
}
#: Activations, and the names by which initializers and so on can be called, too.
_FUNCTIONS = """
    elu exponential gelu hard_sigmoid leaky_relu linear mish relu relu6 selu sigmoid silu softmax softplus softsign
    swish tanh hard_tanh leaky_tanh
    approx_sign dorefa_quantizer magnitude_aware_sign ste_heaviside ste_sign ste_tern swish_sign weight_clip
    constant glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform ones one orthogonal
    random_normal random_uniform truncated_normal uniform normal variance_scaling zeros zero
    l1 l2 l1_l2 orthogonal_regularizer max_norm min_max_norm non_neg radial_constraint unit_norm
"""
#: TensorFlow's functions that Keras writes down for ``x + 1`` or ``tf.nn.relu(x)`` in a model.
_OPERATIONS = """
    __operators__.add __operators__.getitem math.add math.subtract math.multiply math.divide math.truediv math.negative
    math.maximum math.minimum math.abs math.sign math.square math.sqrt math.rsqrt math.exp math.log math.pow math.tanh
    math.sigmoid math.reduce_mean math.reduce_sum math.reduce_max math.reduce_min
    nn.relu nn.relu6 nn.leaky_relu nn.elu nn.selu nn.gelu nn.silu nn.softmax nn.log_softmax nn.sigmoid nn.tanh
    nn.avg_pool nn.avg_pool2d nn.max_pool nn.max_pool2d nn.l2_normalize nn.bias_add nn.depth_to_space nn.space_to_depth
    concat reshape cast clip_by_value identity split stack unstack squeeze expand_dims transpose pad image.resize
    compat.v1.transpose compat.v1.pad compat.v1.nn.avg_pool
"""
_KNOWN_FUNCTIONS, _KNOWN_OPERATIONS = set(_FUNCTIONS.split()), set(_OPERATIONS.split())
_DTYPES = {"float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16", "bool"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_KERAS_MODULES = {
    f"{keras}{module}"
    for keras in ("keras", "tf_keras")
    for module in (
        *("", ".layers", ".models", ".initializers", ".regularizers", ".constraints", ".activations"),
        *(".mixed_precision", ".src.engine.functional", ".src.engine.training", ".src.layers.core.tf_op_layer"),
    )
}
_MODULES = _KERAS_MODULES | {"builtins", "larq.layers", "larq.quantizers", "larq.constraints", "larq.activations"}
_OWN_MODULE = "larq_melius.layers"
_PARTS = ("activation", "initializer", "regularizer", "constraint", "quantizer")
_LARGEST_INTEGER = 1 << 31
_MOST_LAYERS = 10_000

Config = dict[str, Any]


class UntrustedConfigError(ValueError):
    """A model that can hold more than the layers of Keras, Larq and this package."""


def check_config(config: Config) -> None:
    """Checks that a configuration names nothing but known classes, wherever in it they are named.

    Raises:
        UntrustedConfigError: If it names anything else.
        ValueError: If it is nested too deeply, or holds a number that is not finite or absurdly large.
    """
    try:
        _check(config)
    except RecursionError as error:
        raise ValueError("the model's configuration is nested too deeply") from error


def check_graphs(config: Config) -> None:
    """Checks that every layer can be reached from the model's inputs: Keras would search for ever for the others.

    Raises:
        ValueError: If the connections of a model, or of one within it, are damaged.
    """
    try:
        for model in _models(config):
            if "input_layers" in model["config"]:
                _check_graph(model["config"])
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"the model's configuration is damaged: {error!r}") from error


def without_compilation(value: Any) -> Any:
    """A configuration without optimizers, losses and metrics, which are of no use and would be built, too."""
    if isinstance(value, list):
        return [without_compilation(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: without_compilation(item) for key, item in value.items() if key != "compile_config"}


def _check(value: Any, key: str = "") -> None:
    match value:
        case dict():
            if "class_name" in value:
                _check_object(value)
            for name, item in value.items():
                _check(item, name)
        case list():
            for item in value:
                _check(item, key)
        case str() if key == "dtype" and value not in _DTYPES:
            raise UntrustedConfigError(f"it names the type {value[:80]!r}")
        case str() if key.endswith(_PARTS) and value not in _KNOWN_FUNCTIONS | _CLASSES:
            raise UntrustedConfigError(f"it names the {key} {value[:80]!r}")
        case float() if not math.isfinite(value):
            raise ValueError(f"{key} is {value}, not a finite number")
        case int() if abs(value) > _LARGEST_INTEGER:
            raise ValueError(f"{key} is larger than any model needs")


def _check_object(value: Config) -> None:
    # A package that registered a class stands in front of its name: larq_melius>ChannelShuffle.
    package, _, name = str(value["class_name"]).rpartition(">")
    module, registered = value.get("module"), value.get("registered_name")
    if name == "function":
        name = str(value.get("config"))
        known = name in _KNOWN_FUNCTIONS and registered in (None, name)
    else:
        known = name in _CLASSES and registered in (None, name, f"larq_melius>{name}")
    if not (known and package in ("", "larq_melius") and (module is None or _is_known_module(module))):
        raise UntrustedConfigError(f"it names {'.'.join(str(part)[:80] for part in (module, name) if part)}")
    if name in ("TFOpLambda", "SlicingOpLambda"):
        config = value.get("config")
        operation = config.get("function") if isinstance(config, dict) else None
        if operation not in _KNOWN_OPERATIONS:
            raise UntrustedConfigError(f"it names the operation {str(operation)[:80]}")
    if name == "Policy":
        config = value.get("config")
        _check(config.get("name") if isinstance(config, dict) else "", "dtype")


def _is_known_module(module: Any) -> bool:
    if not isinstance(module, str):
        return False
    return module in _MODULES or module == _OWN_MODULE or module.startswith(f"{_OWN_MODULE}.")


def _models(value: Any) -> Iterator[Config]:
    """All models in a configuration, from the outside in."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            config = item.get("config")
            if item.get("class_name") in _MODELS and isinstance(config, dict) and "layers" in config:
                yield item
            pending += item.values()
        elif isinstance(item, list):
            pending += item


def _check_graph(config: Config) -> None:
    """Calls the layers as Keras will, in any order that has their inputs first."""
    nodes = {layer["name"]: layer["inbound_nodes"] for layer in config["layers"]}
    if not len(nodes) == len(config["layers"]) <= _MOST_LAYERS:
        raise ValueError(f"a model has several layers of one name, or more than {_MOST_LAYERS}")
    first = {layer["name"]: int(_is_nested(layer)) for layer in config["layers"]}
    done = {(layer["name"], 0) for layer in config["layers"] if layer["class_name"] == "InputLayer"}
    pending = {
        (name, first[name] + number): set(_references(node))
        for name, calls in nodes.items()
        for number, node in enumerate(calls)
    }
    for call, needed in pending.items():
        for name, _ in needed:
            if name not in nodes:
                raise ValueError(f"layer {call[0]} has the unknown layer {name} as input")
    followers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for call, needed in pending.items():
        for other in needed:
            followers.setdefault(other, []).append(call)
    # The calls of one layer come in the order in which they are numbered.
    for name, number in pending:
        if (name, number - 1) in pending:
            pending[name, number].add((name, number - 1))
            followers.setdefault((name, number - 1), []).append((name, number))
    ready = [*done, *(call for call, needed in pending.items() if not needed)]
    while ready:
        call = ready.pop()
        done.add(call)
        for follower in followers.get(call, ()):
            pending[follower].discard(call)
            if not pending[follower]:
                ready.append(follower)
    stuck = sorted(name for (name, number), needed in pending.items() if needed)
    if stuck:
        raise ValueError(f"layer {stuck[0]} cannot be reached from the model's inputs")
    ends = {*_references(config["input_layers"]), *_references(config["output_layers"])}
    if lost := sorted(name for name, number in ends - done):
        raise ValueError(f"{lost[0]} is no input or output of the model")


def _is_nested(layer: Config) -> bool:
    """Whether a layer is a model, whose first call is that of its own inputs."""
    if layer["class_name"] not in _MODELS:
        return False
    if layer["config"]["layers"][0]["class_name"] != "InputLayer":
        raise ValueError(f"the model {layer['name']} within the model has no inputs")
    return True


def _references(value: Any) -> Iterator[tuple[str, int]]:
    """The calls of layers whose results something takes: each is ``[layer, call, output]`` or with options behind."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        if len(value) in (3, 4) and isinstance(value[0], str):
            if value[0] != "_CONSTANT_VALUE":
                if not all(isinstance(number, int) for number in value[1:3]):
                    raise ValueError(f"{value[0]} has no numbered call")
                yield value[0], value[1]
            yield from _references(value[3:])
        else:
            for item in value:
                yield from _references(item)
