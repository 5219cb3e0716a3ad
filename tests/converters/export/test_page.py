"""The page about an export: whole, self-contained, and right about signs."""

import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from command_line import run

import larq_melius as lm
from larq_melius.converters.export.page import sign_agreement


class Page(HTMLParser):
    """Collects a page's text, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.words, self.sources, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    result = run("export", "MeliusNetTiny", "-o", folder / "digits.tflite", "--report", folder / "page.html")
    assert result.returncode == 0, result.stderr
    return folder / "page.html"


def test_page_needs_nothing_else(page):
    parsed = Page(page.read_text("utf-8"))
    assert parsed.open == []
    assert len(parsed.sources) == 8
    assert all(source.startswith("data:image/png;base64,") for source in parsed.sources)
    text = " ".join(parsed.words)
    assert "24,772,608" in text
    assert "8 of 8 are LceBconv2d" in text
    assert f"{page.with_name('digits.tflite').stat().st_size:,}" in text


def test_flipped_signs_are_found_where_they_begin(digits_flatbuffer):
    model = lm.MeliusNetTiny(weights="digits")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    agreement = sign_agreement(model, digits_flatbuffer, images)
    assert len(agreement) == 8
    assert agreement[0].signs == 2 * 8 * 8 * 64
    assert sum(item.flipped for item in agreement) < 5
    norm = [layer for layer in model.layers if "BatchNormalization" in type(layer).__name__][3]
    norm.beta.assign(norm.beta + 1)
    flipped = [item.flipped > 5 for item in sign_agreement(model, digits_flatbuffer, images)]
    assert not flipped[0]
    assert flipped[-1]


def test_chromium_shows_the_page(page, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("There is no Chromium.")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--virtual-time-budget=2000"]
    result = subprocess.run(
        [chromium, *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    assert "Signs: Keras beside the file" in result.stdout
    assert result.stdout.count("<figure>") == 8
