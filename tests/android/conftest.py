"""What the checks of the app share; ``make android-check`` builds it and names its parts in the environment."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def apk_path() -> Path:
    path = os.environ.get("ANDROID_APK")
    if not path or not Path(path).is_file():
        pytest.skip("There is no app to check: make android-check builds it.")
    return Path(path)


@pytest.fixture(scope="session")
def apk(apk_path: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(apk_path) as archive:
        yield archive
