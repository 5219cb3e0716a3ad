"""Getting weight files: from a real HTTP server, mirrors, the cache; and what goes wrong on the way."""

import contextlib
import errno
import gzip
import hashlib
import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import larq_melius as lm
from larq_melius.preprocessing import Preprocessing
from larq_melius.registration import add_weights, remove_weights
from larq_melius.weights import (
    WeightsUnavailableError,
    cached_path,
    fetch,
    find_record,
    list_records,
    locate,
    save_packed,
    store,
)
from larq_melius.weights.cache import cache_dir
from larq_melius.weights.records import read_user_registry, user_registry

ARGUMENTS = {"classes": 3, "input_shape": (16, 16, 1)}
#: What the file of these networks is registered with.
OWN = {"input_shape": (16, 16, 1), "classes": "abc", "preprocessing": Preprocessing((128.0,), (64.0,))}


#: A gigabyte of zeros, compressed; a stream may have many of these.
BOMB = gzip.compress(bytes(1 << 24)) * 64


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, in the way that its path names."""

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = data
        self.requests: list[str] = []
        self.sent = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        way = self.path.split("/")[1]
        self.server.requests.append(self.path)
        data = self.server.data
        if way == "missing":
            self.send_error(404)
        elif way in ("busy", "429") and len(self.server.requests) < 3:
            self.send_error(int({"busy": "503"}.get(way, way)))
        elif way in ("403", "410"):
            self.send_error(int(way))
        elif way == "drip":
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.02)
        elif way in ("gzip", "bomb", "endless"):
            self.send_response(200)
            if way != "endless":
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            with contextlib.suppress(OSError):
                if way == "gzip":
                    self.wfile.write(gzip.compress(data))
                while way != "gzip":
                    self.wfile.write(bytes(1 << 16) if way == "endless" else BOMB)
                    self.server.sent += 1 << 16
        elif way == "moved":
            self.send_response(302)
            self.send_header("Location", "/fine/file")
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if way == "cut":
                self.wfile.write(data[: len(data) // 2])
            elif way == "wrong":
                self.wfile.write(bytes(len(data)))
            elif way == "slow":
                for start in range(0, len(data), 1 << 14):
                    self.wfile.write(data[start : start + (1 << 14)])
                    time.sleep(0.005)
            else:
                self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARQ_MELIUS_HOME", str(tmp_path / "home"))
    for name in ("LARQ_MELIUS_MIRROR", "LARQ_MELIUS_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def model(randomize):
    network = lm.MeliusNetTiny(weights=None, **ARGUMENTS)
    randomize(network)
    return network


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory) -> Path:
    return save_packed(model, tmp_path_factory.mktemp("weights") / "tiny.npz")


@pytest.fixture
def server(weights: Path) -> Iterator[Server]:
    server = Server(weights.read_bytes())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def register(weights: Path, *urls: str, include_top: bool = True) -> None:
    """Puts an entry for the file into the user's registry, as if it had been published at these addresses."""
    data = weights.read_bytes()
    entry = {
        "model": "MeliusNetTiny",
        "tag": "test",
        "stem": "thumbnail",
        "convention": "authors",
        "file": weights.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "input_shape": [16, 16, 1],
        "classes": ["a", "b", "c"],
        "preprocessing": {"mean": [0.0], "std": [1.0]},
        "top1": None,
        "trained_on": "",
        "source": "",
        "license": "",
        "include_top": include_top,
        "urls": list(urls),
    }
    cache_dir().mkdir(parents=True, exist_ok=True)
    registry = cache_dir() / "registry.json"
    entries = json.loads(registry.read_text()) if registry.exists() else []
    registry.write_text(json.dumps([*entries, entry]))


def record():
    found = find_record("MeliusNetTiny", "test", "thumbnail")
    assert found is not None
    return found


def assert_same(model, loaded) -> None:
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype("float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))


def assert_nothing_cached() -> None:
    assert [path for path in (cache_dir() / "weights").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("way", ["fine", "slow", "busy", "429", "moved", "gzip"])
def test_weights_by_tag_come_from_the_server_once(way, server, weights, model) -> None:
    register(weights, server.url(f"/{way}/{weights.name}"))
    assert_same(model, lm.get_model("MeliusNetTiny", weights="test", **ARGUMENTS))
    asked = len(server.requests)
    assert asked == {"busy": 3, "429": 3, "moved": 2}.get(way, 1)
    assert_same(model, lm.get_model("MeliusNetTiny", weights="test", **ARGUMENTS))
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("missing", "the server answers 404"),
        ("403", "the server answers 403"),
        ("410", "the server answers 410"),
        ("cut", "broke off"),
        ("wrong", "by its hash"),
    ],
)
def test_what_cannot_be_had_leaves_nothing(way, reason, server, weights) -> None:
    register(weights, server.url(f"/{way}/{weights.name}"))
    with pytest.raises(WeightsUnavailableError, match=reason) as error:
        lm.get_model("MeliusNetTiny", weights="test", **ARGUMENTS)
    assert "\n" not in str(error.value)
    assert server.url(f"/{way}/{weights.name}") in str(error.value)
    assert len(server.requests) == (3 if way in ("cut", "wrong") else 1)
    assert_nothing_cached()


def test_a_file_that_a_mirror_lacks_comes_from_its_own_address(server, weights, monkeypatch) -> None:
    monkeypatch.setenv("LARQ_MELIUS_MIRROR", server.url("/missing"))
    register(weights, server.url("/missing/x"), server.url("/fine/x"))
    assert locate(record()).read_bytes() == weights.read_bytes()
    assert server.requests == [f"/missing/{weights.name}", "/missing/x", "/fine/x"]


@pytest.mark.parametrize("way", ["endless", "bomb"])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_no_more_is_written_than_the_file_has(way, known, server, weights, monkeypatch) -> None:
    register(weights, server.url(f"/{way}/x"))
    if known:
        wanted = replace(record(), bytes=weights.stat().st_size)
    else:
        monkeypatch.setattr(store, "LARGEST", weights.stat().st_size)
        wanted = record()
    sizes = []
    temporary = cache_dir() / "weights"
    watcher = threading.Event()

    def watch() -> None:
        while not watcher.wait(0.005):
            for path in temporary.glob("*"):
                with contextlib.suppress(OSError):
                    sizes.append(path.stat().st_size)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with pytest.raises(WeightsUnavailableError, match=rf"sends more than the file's {weights.stat().st_size:,} b"):
            fetch(wanted)
    finally:
        watcher.set()
        thread.join()
    assert max(sizes, default=0) <= weights.stat().st_size
    assert_nothing_cached()


def test_a_server_that_drips_is_given_up(server, weights, monkeypatch) -> None:
    register(weights, server.url("/drip/x"))
    monkeypatch.setattr(store, "PATIENCE", 0.5)
    monkeypatch.setattr(store, "SLOWEST", 1e9)
    with pytest.raises(WeightsUnavailableError, match="the server sends too slowly"):
        fetch(record())
    assert len(server.requests) == 1
    assert_nothing_cached()


NOT_NAMES = ["../../x.npz", "/etc/x", "a/b.npz", "..", ".", "", "a\\b", "x\x00", None, 3, ["x"]]


@pytest.mark.parametrize("name", NOT_NAMES, ids=repr)
def test_registered_files_have_plain_names(name, weights, tmp_path) -> None:
    register(weights)
    path = user_registry()
    entries = json.loads(path.read_text())
    entries[0]["file"] = name
    path.write_text(json.dumps(entries))
    for use in (list_records, lambda: lm.get_model("MeliusNetTiny", weights="test", **ARGUMENTS)):
        with pytest.raises(ValueError, match=r"registry\.json is damaged") as error:
            use()
        assert "\n" not in str(error.value)


def test_no_route_and_then_another_address(server, weights, model) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}/x"
    register(weights, nowhere)
    with pytest.raises(WeightsUnavailableError, match="no connection"):
        locate(record())
    shutil.rmtree(cache_dir())
    register(weights, nowhere, server.url("/wrong/x"), server.url("/fine/x"))
    assert locate(record()).read_bytes() == weights.read_bytes()


def test_damaged_file_in_the_cache_is_replaced_and_never_loaded(server, weights) -> None:
    register(weights, server.url("/fine/x"))
    path = locate(record())
    path.write_bytes(b"damaged")
    assert locate(record()).read_bytes() == weights.read_bytes()
    server.data = b"gone"
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsUnavailableError, match="hash"):
        locate(record())
    assert_nothing_cached()


def test_mirror_folder_then_the_record_s_own_address(server, weights, tmp_path, monkeypatch) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("LARQ_MELIUS_MIRROR", str(mirror))
    register(weights, server.url("/fine/x"))
    shutil.copy(weights, mirror / weights.name)
    assert locate(record()).read_bytes() == weights.read_bytes()
    assert server.requests == []
    for content in (b"something else", None):
        cached_path(record()).unlink()
        if content is None:
            (mirror / weights.name).unlink()
        else:
            (mirror / weights.name).write_bytes(content)
        assert locate(record()).read_bytes() == weights.read_bytes()
    assert len(server.requests) == 2


def test_mirror_url(server, weights, monkeypatch) -> None:
    monkeypatch.setenv("LARQ_MELIUS_MIRROR", server.url("/fine/"))
    register(weights)
    assert locate(record()).read_bytes() == weights.read_bytes()
    assert server.requests == [f"/fine/{weights.name}"]


def test_offline_never_touches_the_network(server, weights, monkeypatch, tmp_path) -> None:
    register(weights, server.url("/fine/x"))
    monkeypatch.setenv("LARQ_MELIUS_OFFLINE", "1")
    with pytest.raises(WeightsUnavailableError, match="LARQ_MELIUS_OFFLINE") as error:
        locate(record())
    assert str(cached_path(record())) in str(error.value)
    assert server.requests == []
    monkeypatch.setenv("LARQ_MELIUS_MIRROR", str(weights.parent))
    assert locate(record()).read_bytes() == weights.read_bytes()
    assert server.requests == []


def test_proxy_of_the_environment_is_used(server, weights, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "")
    register(weights, "http://weights.invalid/fine/x")
    assert locate(record()).read_bytes() == weights.read_bytes()
    assert server.requests == ["http://weights.invalid/fine/x"]


@pytest.mark.process
def test_processes_may_fetch_one_file_at_the_same_time(server, weights, tmp_path) -> None:
    register(weights, server.url("/slow/x"))
    script = (
        "from larq_melius.weights import fetch, find_record\n"
        "print(fetch(find_record('MeliusNetTiny', 'test', 'thumbnail')))"
    )
    command = [sys.executable, "-c", script]
    processes = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in "ab"]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert cached_path(record()).read_bytes() == weights.read_bytes()
    assert [path.name for path in cached_path(record()).parent.iterdir()] == [weights.name]


def test_full_disk(server, weights, monkeypatch) -> None:
    register(weights, server.url("/fine/x"))

    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.pooch.HTTPDownloader, "__call__", full)
    with pytest.raises(WeightsUnavailableError, match="No space left on device"):
        fetch(record())
    assert_nothing_cached()


def test_headless_network_from_a_file_with_and_without_the_top(server, weights, model, tmp_path) -> None:
    register(weights, server.url("/fine/x"))
    x = np.ones((1, 16, 16, 1), "float32")
    arguments = {"include_top": False, "pooling": "avg", "input_shape": (16, 16, 1)}
    features = lm.get_model("MeliusNetTiny", weights="test", **arguments)
    kernel, bias = model.get_layer("predictions").get_weights()
    whole = lm.get_model("MeliusNetTiny", weights="test", classifier_activation=None, **ARGUMENTS)
    np.testing.assert_allclose(features.predict(x, verbose=0) @ kernel + bias, whole.predict(x, verbose=0), rtol=1e-4)
    headless = save_packed(features, tmp_path / "notop.npz")
    add_weights(headless, "MeliusNetTiny", "test", include_top=False, **OWN)
    again = lm.get_model("MeliusNetTiny", weights="test", **arguments)
    np.testing.assert_array_equal(again.predict(x, verbose=0), features.predict(x, verbose=0))
    assert find_record("MeliusNetTiny", "test", "thumbnail", include_top=False).include_top is False


def test_own_file_by_a_tag(weights, model) -> None:
    added = add_weights(weights, "meliusnettiny", "mine", top1=0.5, license="MIT", **OWN)
    assert added in list_records()
    assert_same(model, lm.MeliusNetTiny(weights="mine", **ARGUMENTS))
    replaced = add_weights(weights, "MeliusNetTiny", "mine", top1=0.6, **OWN)
    assert [r.top1 for r in list_records() if r.tag == "mine"] == [0.6]
    remove_weights(replaced)
    assert not [r for r in list_records() if r.tag == "mine"]
    assert_nothing_cached()
    with pytest.raises(ValueError, match="no 'mine' weights"):
        lm.MeliusNetTiny(weights="mine")


ADDER = """
import sys
from larq_melius.preprocessing import Preprocessing
from larq_melius.registration import add_weights

print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    add_weights(sys.argv[1], "MeliusNetTiny", f"{sys.argv[2]}-{number}", input_shape=(16, 16, 1), classes="abc",
                preprocessing=Preprocessing((128.0,), (64.0,)))
"""


@pytest.mark.process
def test_processes_may_add_at_the_same_time(weights, tmp_path) -> None:
    # The more there is to read, the likelier would one process without a lock write what another has just changed.
    first = add_weights(weights, "MeliusNetTiny", "first", **OWN)
    there = [replace(first, tag=f"there-{number}") for number in range(300)]
    user_registry().write_text(json.dumps([record.to_dict() for record in there]))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDER, weights, name], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in "abc"
    ]
    # They begin together, once the last has imported what it needs, which takes much longer than adding.
    assert [process.stdout.readline() for process in processes] == [b"ready\n"] * 3
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    while any(process.poll() is None for process in processes):
        assert len(read_user_registry()) >= 300  # whole at any time
        time.sleep(0.1)
    assert [process.returncode for process in processes] == [0, 0, 0]
    expected = [record.tag for record in there] + [f"{name}-{number}" for name in "abc" for number in range(10)]
    assert sorted(record["tag"] for record in json.loads(user_registry().read_text())) == sorted(expected)
    assert {path.name for path in cache_dir().iterdir()} == {"registry.json", "registry.lock", "weights"}


def test_file_of_another_network_is_not_added(weights) -> None:
    with pytest.raises(ValueError, match=r"another network|expects"):
        add_weights(weights, "ResNetE18", "mine", stem="thumbnail", **OWN)
    assert not cache_dir().exists()


def test_shipped_file_cannot_be_removed() -> None:
    with pytest.raises(ValueError, match="part of the package"):
        remove_weights(find_record("MeliusNetTiny", "digits", "thumbnail"))


def test_damaged_registry_is_named(tmp_path) -> None:
    cache_dir().mkdir(parents=True)
    for text in ("no json", "{}", '[{"model": "MeliusNet22"}]', "[1]"):
        (cache_dir() / "registry.json").write_text(text)
        with pytest.raises(ValueError, match=r"registry\.json is damaged"):
            list_records()


def test_registered_addresses_are_those_of_real_releases() -> None:
    for found in list_records():
        assert len(found.sha256) == 64
        assert found.model in lm.list_models()
        for url in found.urls:
            assert url.startswith("https://github.com/larq/zoo/releases/download/")
            assert url.endswith(found.file)


def test_own_file_with_the_top_comes_before_a_published_one_without() -> None:
    own = save_packed(lm.MeliusNetTiny(weights=None), cache_dir().parent / "own.npz")
    add_weights(own, "MeliusNetTiny", "digits", **{**OWN, "classes": "0123456789", "input_shape": (8, 8, 1)})
    for include_top in (True, False):
        assert find_record("MeliusNetTiny", "digits", "thumbnail", include_top=include_top).file != (
            "meliusnet_tiny_digits.npz"
        )
