"""MeliusNet and its baselines as Keras applications, from ImageNet recipes to phone-ready TFLite files."""

import sys
from pathlib import Path

from larq_melius.legacy_keras import select_legacy_keras
from larq_melius.version import __version__

select_legacy_keras()

__all__ = [
    "BiRealNet34",
    "BinaryDenseNet28",
    "BinaryDenseNet37",
    "BinaryDenseNet45",
    "MeliusNet",
    "MeliusNet22",
    "MeliusNet23",
    "MeliusNet29",
    "MeliusNet42",
    "MeliusNet59",
    "MeliusNetA",
    "MeliusNetB",
    "MeliusNetC",
    "MeliusNetTiny",
    "NaiveNet17",
    "Operations",
    "ResNetE",
    "ResNetE18",
    "__version__",
    "count_operations",
    "decode_predictions",
    "get_model",
    "list_models",
    "preprocess_input",
]

# Importing TensorFlow takes seconds and prints to the terminal. The command line imports what each command needs, after
# it has answered --help or a shell completion, and quietly; everyone else gets the whole API, and with it the layers
# that load_model looks up by name.
if Path(sys.argv[0] if sys.argv else "").stem != "larq-melius":
    from larq_melius.analysis.operations import Operations, count_operations
    from larq_melius.imagenet import decode_predictions
    from larq_melius.models import (
        BinaryDenseNet28,
        BinaryDenseNet37,
        BinaryDenseNet45,
        BiRealNet34,
        MeliusNet,
        MeliusNet22,
        MeliusNet23,
        MeliusNet29,
        MeliusNet42,
        MeliusNet59,
        MeliusNetA,
        MeliusNetB,
        MeliusNetC,
        MeliusNetTiny,
        NaiveNet17,
        ResNetE,
        ResNetE18,
        get_model,
        list_models,
    )
    from larq_melius.preprocessing import preprocess_input
