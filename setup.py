"""Builds larq-melius: ``zoo/``, ``converters/`` and ``runtime/`` install as subpackages of ``larq_melius``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# Import package and the folder it is kept in.
FOLDERS = {
    "larq_melius": "larq_melius",
    "larq_melius.zoo": "zoo",
    "larq_melius.converters": "converters",
    "larq_melius.runtime": "runtime",
}

packages = [
    ".".join([package, *([subpackage] if subpackage else [])])
    for package, folder in FOLDERS.items()
    for subpackage in ["", *find_packages(folder)]
]
version = re.search(r'__version__ = "(.+)"', (ROOT / "larq_melius/version.py").read_text("utf-8"))
if version is None:
    raise RuntimeError("larq_melius/version.py does not set __version__.")

TRAIN = [
    "tensorflow-datasets>=4.9.9,<5",
    # tensorflow-datasets imports it to prepare a data set, but does not ask for it on every version of Python.
    "importlib-resources>=6",
    "tensorboard>=2.20,<3",
    "scikit-learn>=1.3,<2",
    "matplotlib>=3.7,<4",
]
DEV = [
    *TRAIN,
    "pytest>=8,<10",
    "pytest-xdist>=3.6.1,<4",
    "ruff>=0.12,<1",
    "mypy>=1.15,<3",
    "import-linter>=2.9,<3",
    "build>=1.2,<2",
    "setuptools>=77",
    "types-tabulate>=0.9",
]

setup(
    name="larq-melius",
    version=version.group(1),
    description="A Keras/Larq model zoo for MeliusNet, with TFLite export through Larq Compute Engine",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.10,<3.13",
    packages=packages,
    package_dir=FOLDERS,
    package_data={
        "larq_melius": ["py.typed", "*.pyi", "data/*", "weights/*.json"],
        "larq_melius.converters": ["*.pyi"],
        "larq_melius.zoo.paper": ["paper.json"],
        "larq_melius.zoo.runs": ["authors_curves.csv"],
    },
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "tf-keras>=2.21,<2.22",
        "larq>=0.14,<0.15",
        # There is no wheel for Linux on ARM; models, weights and training work there without it.
        "larq-compute-engine>=0.16,<0.17; platform_machine != 'aarch64'",
        "numpy>=1.26,<2",
        "flatbuffers>=25.9.23",
        "click>=8.2,<9",
        # Imports nothing of the API until it is used, with a stub for editors and type checkers.
        "lazy-loader>=0.4,<1",
        # Registers layers with Keras when that is imported; TensorFlow depends on it, too.
        "wrapt>=1.15",
        # Checks recipes, registry entries and evaluation reports.
        "pydantic>=2.7,<3",
        "pillow>=10.3,<14",
        "h5py>=3.12.1",
        "filelock>=3.13,<5",
        "platformdirs>=4,<5",
        "pooch>=1.8,<2",
        "requests>=2.31,<3",
        "tqdm>=4.66,<5",
        "tabulate>=0.9,<1",
    ],
    # torch reads checkpoints of BITorch.
    extras_require={"train": TRAIN, "torch": ["torch>=2.4"], "dev": DEV},
    entry_points={"console_scripts": ["larq-melius = larq_melius.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
