"""Builds larq-melius: ``zoo/``, ``converters/`` and ``runtime/`` install as subpackages of ``larq_melius``.

CMake builds the delegate, a shared library in C++, on the way. Where that fails, the package is installed without it.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import ClassVar

from setuptools import Command, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

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

DELEGATE = "liblarq_melius_delegate" + (".dylib" if sys.platform == "darwin" else ".so")


class BuildDelegate(Command):
    """Builds the delegate into ``larq_melius.runtime``, or puts ``LARQ_MELIUS_PREBUILT_DELEGATE`` there."""

    description = "build the TFLite delegate with CMake"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib = ""
        self.build_temp = ""

    def finalize_options(self) -> None:
        build_py = self.get_finalized_command("build_py")
        self.build_lib = self.build_lib or build_py.build_lib
        self.build_temp = self.build_temp or self.get_finalized_command("build").build_temp

    def run(self) -> None:
        prebuilt = os.environ.get("LARQ_MELIUS_PREBUILT_DELEGATE")
        try:
            library = Path(prebuilt) if prebuilt else self._build()
        except (OSError, subprocess.CalledProcessError) as error:
            self.warn(
                "larq-melius is installed without its delegate, which takes CMake, Ninja and a C++17 compiler "
                f"({error}): exported networks will run in Larq Compute Engine's interpreter."
            )
            self._output.unlink(missing_ok=True)  # One of an earlier build would not be what is installed now.
            return
        self._output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library, self._output)

    @property
    def _output(self) -> Path:
        return Path(self.build_lib, "larq_melius/runtime", DELEGATE)

    def _build(self) -> Path:
        """Runs CMake, and says where the library is."""
        # Without build isolation, cmake and ninja may be in this environment, which need not be on PATH.
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
        folder = Path(self.build_temp, "delegate").absolute()
        environment = {**os.environ, "PATH": path}
        configure = ["-S", ROOT / "runtime", "-B", folder, "-G", "Ninja", "-DLARQ_MELIUS_TESTS=OFF"]
        for arguments in (["--fresh", *configure], ["--build", folder]):
            cmake = shutil.which("cmake", path=path)
            if cmake is None:
                raise FileNotFoundError("There is no cmake.")
            subprocess.run([cmake, *arguments], env=environment, check=True)
        return folder / DELEGATE

    def get_source_files(self) -> list[str]:
        return [
            path.as_posix()
            for pattern in ("CMake*", "benchmarks/**/*", "delegate/**/*", "program/**/*", "tests/**/*")
            for path in sorted(Path("runtime").glob(pattern))
            if path.is_file()
        ]

    def get_outputs(self) -> list[str]:
        return [str(self._output)] if self._output.exists() else []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Build(build):
    """Builds the delegate beside the modules."""

    sub_commands: ClassVar = [*build.sub_commands, ("build_delegate", None)]


class BdistWheel(bdist_wheel):
    """Names a wheel with a delegate after its platform: the library needs no particular Python."""

    def run(self) -> None:
        self.run_command("build")
        self.root_is_pure = not self.get_finalized_command("build_delegate").get_outputs()
        # "install" asks this to tell packages for one platform from those for all.
        self.distribution.has_ext_modules = lambda: not self.root_is_pure
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        python, abi, platform = super().get_tag()
        return (python, abi, platform) if self.root_is_pure else ("py3", "none", platform)


TRAIN = [
    "tensorflow-datasets>=4.9.9,<5",
    # tensorflow-datasets imports it to prepare a data set, but does not ask for it on every version of Python.
    "importlib-resources>=6",
    "tensorboard>=2.20,<3",
    "scikit-learn>=1.3,<2",
    "matplotlib>=3.7,<4",
]
# Stores weights in fewer bits. It brings SciPy along, which nothing else of an export needs.
EXPORT = ["ai-edge-quantizer>=0.10,<0.11"]
DEV = [
    *TRAIN,
    *EXPORT,
    "pytest>=8,<10",
    "pytest-xdist>=3.6.1,<4",
    "ruff>=0.12,<1",
    "mypy>=1.15,<3",
    "import-linter>=2.9,<3",
    "hypothesis>=6.100,<7",
    "build>=1.2,<2",
    "setuptools>=77",
    # Build the delegate and its tests.
    "cmake>=3.24",
    "ninja>=1.11",
    "types-tabulate>=0.9",
]

setup(
    cmdclass={"build": Build, "build_delegate": BuildDelegate, "bdist_wheel": BdistWheel},
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
        # The stubs that lazy_loader reads.
        "": ["*.pyi"],
        "larq_melius": ["py.typed", "data/*", "weights/*.json"],
        "larq_melius.zoo.paper": ["paper.json"],
        "larq_melius.zoo.runs": ["authors_curves.csv"],
    },
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "tf-keras>=2.21,<2.22",
        "larq>=0.14,<0.15",
        # There is no wheel for Linux on ARM; models, weights and training work there without it.
        "larq-compute-engine>=0.16,<0.17; platform_machine != 'aarch64'",
        # Runs exported networks, with the delegate. 1.1.2 is the first version that has the schema of TFLite.
        "ai-edge-litert>=1.1.2,<3",
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
        # From 2.1 on, what arrives can be read as it arrives.
        "urllib3>=2.1,<3",
        "tqdm>=4.66,<5",
        "tabulate>=0.9,<1",
    ],
    # torch reads checkpoints of BITorch.
    extras_require={"train": TRAIN, "export": EXPORT, "torch": ["torch>=2.4"], "dev": DEV},
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
