import json

import larq as lq
import pytest
import tensorflow as tf
from full_size import Facts, full_size, trainable_params
from reference_data import DATA

import larq_melius
from larq_melius.analysis.operations import count_binary_convolutions

L = tf.keras.layers
EXACT = json.loads((DATA / "exact_counts.json").read_text("utf-8"))["models"]
#: What is counted in every test run: one network of each family.
IN_SHORT = {("MeliusNet22", "grouped"), ("ResNetE18", "grouped")}


def count(*layers, shape=(8, 8, 8)):
    return larq_melius.count_operations(tf.keras.Sequential([L.Input(shape), *layers]))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=f"{row['name']}-{row['stem']}",
            marks=() if (row["name"], row["stem"]) in IN_SHORT else pytest.mark.long,
        )
        for row in EXACT
    ],
)
def test_network_has_the_exact_counts(row, once):
    network: Facts = full_size(once, row["name"], stem=row["stem"])
    operations = network.operations
    assert {
        "binary_macs": operations.binary_macs,
        "float_macs": operations.float_macs,
        "float_macs_without_classifier": operations.float_macs_without_classifier,
        "binary_weights": operations.binary_weights,
        "float_weights": operations.float_weights,
        "batchnorm_channels": operations.batchnorm_channels,
        "total_params_keras": network.params,
        "feature_channels": network.feature_channels,
        "params_without_moving_statistics": operations.params - 2 * operations.batchnorm_channels,
    } == row["exact"]
    assert operations.params == network.params
    # ResNetE's first batch norm keeps its scale at one, which is a variable all the same.
    assert network.trainable_params == row["exact"]["params_without_moving_statistics"]
    assert round(operations.size_mib, 3) == row["derived"]["size_mib"]
    assert round(operations.ops_without_classifier / 1e8, 3) == row["derived"]["ops_e8"]
    for number, filters in enumerate(row["transition_filters"] or [], start=1):
        assert network.transitions[f"transition{number}_conv"] == (filters, row["transition_groups"])


# Paper, section 4.2. The filters are not printed: those of the DenseNet are BinaryDenseNet28's, and those of the
# MeliusNet half the channels before each transition, cut to a multiple of 32 like all others in the paper.
@pytest.mark.parametrize(
    ("num_blocks", "transition_filters", "improvement", "size_mib"),
    [((6, 6, 6, 5), (160, 192, 256), None, 19.58), ((4, 4, 4, 3), (160, 192, 224), "newest", 20.87)],
    ids=["DenseNet", "MeliusNet"],
)
def test_32_bit_network_has_the_size_of_the_paper(num_blocks, transition_filters, improvement, size_mib):
    model = larq_melius.MeliusNet(num_blocks, transition_filters, improvement=improvement, binary=False, stem="conv7x7")
    operations = larq_melius.count_operations(model)
    assert operations.binary_macs == operations.binary_weights == count_binary_convolutions(model) == 0
    assert operations.size_mib == pytest.approx(trainable_params(model) * 4 / 2**20)
    assert round(operations.size_mib, 2) == size_mib


def test_features_have_no_classifier():
    model = larq_melius.MeliusNet22(include_top=False, weights=None, input_shape=(224, 224, 3), pooling="avg")
    operations = larq_melius.count_operations(model)
    assert operations.classifier_macs == 0
    assert operations.float_macs == operations.float_macs_without_classifier == 135876608
    assert operations.ops == operations.ops_without_classifier


def test_dynamic_shape_is_an_error_of_one_line():
    with pytest.raises(ValueError, match=r"^Layer 'stem_conv1' has no static output shape: .*input_shape\.$"):
        larq_melius.count_operations(larq_melius.MeliusNet([1], [], include_top=False, weights=None))


def test_model_without_input_is_an_error():
    with pytest.raises(ValueError, match=r"^Model 'unbuilt' is not functional, or has no input shape yet\.$"):
        larq_melius.count_operations(tf.keras.Sequential([L.Conv2D(4, 3)], name="unbuilt"))


@pytest.mark.parametrize("tail", [[], [L.Softmax], [L.Dropout, L.Softmax]], ids=["", "softmax", "dropout"])
def test_nested_model_and_its_classifier_count(tail):
    base = larq_melius.MeliusNetTiny(include_top=False, weights=None, input_shape=(8, 8, 1))
    features = larq_melius.count_operations(base)
    layers = [layer(0.5) if layer is L.Dropout else layer() for layer in tail]
    operations = count(base, L.GlobalAveragePooling2D(), L.Dense(7), *layers, shape=(8, 8, 1))
    assert operations.binary_macs == features.binary_macs > 0
    assert operations.binary_weights == features.binary_weights
    assert operations.batchnorm_channels == features.batchnorm_channels
    assert operations.float_macs_without_classifier == features.float_macs
    assert operations.classifier_macs == 7 * base.output_shape[-1]
    assert operations.float_weights == features.float_weights + 7 * base.output_shape[-1] + 7


def test_classifier_inside_a_nested_model_counts():
    logits = larq_melius.MeliusNetTiny(weights=None, classifier_activation=None)
    assert count(logits, L.Softmax(), shape=(8, 8, 1)) == larq_melius.count_operations(logits)


def test_model_used_twice_works_twice_with_the_same_weights():
    conv = tf.keras.Sequential([L.Input((8, 8, 8)), L.Conv2D(4, 3, padding="same", use_bias=False)])
    image = L.Input((8, 8, 8))
    operations = larq_melius.count_operations(tf.keras.Model(image, L.Add()([conv(image), conv(image)])))
    assert operations.float_macs == 2 * larq_melius.count_operations(conv).float_macs == 2 * 8 * 8 * 8 * 4 * 9
    assert operations.float_weights == 8 * 4 * 9


def test_use_in_another_model_does_not_count():
    shared = L.Conv2D(4, 3, padding="same")
    assert count(shared).float_macs == count(shared).float_macs == 8 * 8 * 8 * 4 * 9


@pytest.mark.parametrize(("alpha", "macs", "classifier"), [(0.5, 149497088, 512000), (1.0, 568740352, 1024000)])
def test_mobilenet_and_its_convolutional_classifier(alpha, macs, classifier):
    operations = larq_melius.count_operations(tf.keras.applications.MobileNet(alpha=alpha, weights=None))
    assert (operations.float_macs, operations.classifier_macs) == (macs, classifier)
    assert operations.binary_macs == operations.binary_weights == 0


@pytest.mark.parametrize(
    ("layer", "macs", "weights"),
    [
        (L.Conv2D(16, 3, padding="same", use_bias=False), 8 * 8 * 16 * 9 * 8, 16 * 9 * 8),
        (L.Conv2D(16, 3, strides=2, padding="same"), 4 * 4 * 16 * 9 * 8, 16 * 9 * 8 + 16),
        (L.Conv2D(16, 3, groups=4, padding="same", use_bias=False), 8 * 8 * 16 * 9 * 2, 16 * 9 * 2),
        (L.DepthwiseConv2D(3, padding="same", use_bias=False), 8 * 8 * 8 * 9, 8 * 9),
        (L.DepthwiseConv2D(3, depth_multiplier=2), 6 * 6 * 16 * 9, 16 * 9 + 16),
        (L.Dense(5), 8 * 8 * 8 * 5, 8 * 5 + 5),
    ],
)
def test_float_layer(layer, macs, weights):
    operations = count(layer)
    assert (operations.float_macs, operations.float_weights) == (macs, weights)
    assert operations.binary_macs == operations.binary_weights == 0


SIGN = "ste_sign"


@pytest.mark.parametrize(
    ("layer", "macs", "weights"),
    [
        (lq.layers.QuantConv2D(16, 3, input_quantizer=SIGN, kernel_quantizer=SIGN), 6 * 6 * 16 * 9 * 8, 16 * 9 * 8),
        (
            lq.layers.QuantConv2D(16, 3, groups=4, input_quantizer=SIGN, kernel_quantizer=SIGN),
            6 * 6 * 16 * 9 * 2,
            16 * 9 * 2,
        ),
        (
            lq.layers.QuantDepthwiseConv2D(3, input_quantizer=SIGN, depthwise_quantizer=SIGN),
            6 * 6 * 8 * 9,
            8 * 9,
        ),
        (lq.layers.QuantDense(5, input_quantizer=SIGN, kernel_quantizer=SIGN), 8 * 8 * 8 * 5, 8 * 5),
    ],
)
def test_binary_layer_with_a_bias_of_32_bit(layer, macs, weights):
    operations = count(layer)
    assert (operations.binary_macs, operations.binary_weights) == (macs, weights)
    assert (operations.float_macs, operations.float_weights) == (0, layer.bias.shape[0])


@pytest.mark.parametrize(
    ("layer", "binary_weights"),
    [
        (lq.layers.QuantConv2D(16, 3, kernel_quantizer=SIGN, use_bias=False), 16 * 9 * 8),
        (lq.layers.QuantConv2D(16, 3, input_quantizer=SIGN, use_bias=False), 0),
        (lq.layers.QuantConv2D(16, 3, input_quantizer=SIGN, kernel_quantizer="dorefa_quantizer", use_bias=False), 0),
    ],
    ids=["binary weights", "binary input", "weights of 2 bits"],
)
def test_work_is_binary_only_if_weights_and_input_are(layer, binary_weights):
    operations = count(layer)
    assert (operations.binary_macs, operations.float_macs) == (0, 6 * 6 * 16 * 9 * 8)
    assert (operations.binary_weights, operations.float_weights) == (binary_weights, 16 * 9 * 8 - binary_weights)


def test_binary_classifier_is_no_32_bit_work():
    operations = count(lq.layers.QuantDense(5, input_quantizer=SIGN, kernel_quantizer=SIGN), shape=(8,))
    assert operations.classifier_macs == 0
    assert operations.ops == operations.ops_without_classifier == 8 * 5 / 64


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (L.LSTM(4, name="odd"), (8, 8)),
        (L.Conv1D(4, 3, name="odd"), (8, 8)),
        (L.Conv2DTranspose(4, 3, name="odd"), (8, 8, 8)),
        (L.SeparableConv2D(4, 3, name="odd"), (8, 8, 8)),
        (L.LayerNormalization(name="odd"), (8, 8, 8)),
        (lq.layers.QuantConv2DTranspose(4, 3, kernel_quantizer=SIGN, name="odd"), (8, 8, 8)),
        (lq.layers.QuantSeparableConv2D(4, 3, depthwise_quantizer=SIGN, name="odd"), (8, 8, 8)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_unknown_layer_with_weights_is_named(layer, shape):
    with pytest.raises(ValueError, match=rf"^Cannot count the operations of layer 'odd', a {type(layer).__name__}\.$"):
        count(layer, shape=shape)


def test_layers_without_work_count_nothing():
    operations = count(L.RandomFlip(), L.Rescaling(2.0), L.Normalization(), L.ReLU(), L.MaxPooling2D())
    assert operations.ops == 0
    assert operations.float_weights == 2 * 8 + 1
