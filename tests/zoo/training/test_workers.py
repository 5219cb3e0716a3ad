"""Training on several workers and devices."""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import COMMAND
from training_runs import SMALL, assert_close, command, numbers, set_options, wait_for

from larq_melius.zoo.training.distribution import cluster_from_slurm

# Rounding of sums in another order stays small without signs, and without Adam's division by small gradients.
SMOOTH = (
    *SMALL,
    "quantization=float",
    "optimizer=sgd",
    "learning_rate=1e-3",
    "synchronize_batchnorm=true",
    "flips=none",
    "warmup_epochs=0",
)
VALIDATION_IMAGES = 270  # of digits


def smooth_command(folder: Path, *more: object) -> list[str]:
    run = ["train", "meliusnettiny", "--epochs", 1, "--checkpoint-steps", 10, "-o", folder, *set_options(SMOOTH), *more]
    return [str(COMMAND), *map(str, run)]


@contextlib.contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Free ports that stay ours: bound, so that nobody else gets them, but open to those who share ports, too."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def workers(folder: Path, *more: object) -> Iterator[list[subprocess.Popen[str]]]:
    """Two workers of a training; none of them outlives the block."""
    with reserved_ports(2) as ports, contextlib.ExitStack() as started:
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        processes = []
        for index in range(2):
            process = subprocess.Popen(
                smooth_command(folder, "--hosts", hosts, "--host-index", index, *more),
                env={**os.environ, "TF_GRPC_REUSE_PORT": "true"},  # TensorFlow's servers share no port otherwise
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            processes.append(started.enter_context(process))
            started.callback(process.kill)
        yield processes


@pytest.mark.process
def test_two_workers_and_two_devices_come_to_the_numbers_of_one(tmp_path) -> None:
    with workers(tmp_path / "workers") as both:
        outputs = [worker.communicate() for worker in both]
    assert [worker.returncode for worker in both] == [0, 0], outputs
    assert outputs[1][0] == ""
    subprocess.run(smooth_command(tmp_path / "one"), capture_output=True, check=True)
    subprocess.run(smooth_command(tmp_path / "devices", "--devices", 2), capture_output=True, check=True)
    for name in ("workers", "devices"):
        # 33 steps of float32 sums in another order, which may also decide about an image or two.
        assert_close(numbers(tmp_path / name), numbers(tmp_path / "one"), 1e-4, share_tolerance=2.5 / VALIDATION_IMAGES)


@pytest.fixture(scope="module")
def whole_by_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs by two workers."""
    folder = tmp_path_factory.mktemp("workers") / "run"
    with workers(folder, "--epochs", 2) as both:
        for worker in both:
            worker.communicate()
    return folder


@pytest.mark.process
def test_terminated_worker_stops_all_and_they_go_on(whole_by_workers, tmp_path) -> None:
    with workers(tmp_path / "run", "--epochs", 2) as (chief, worker):
        wait_for(lambda: list((tmp_path / "run/checkpoints").glob("step-0000000010")), chief)
        worker.terminate()
        stopped = [process.communicate()[1].splitlines()[-1] for process in (chief, worker)]
    assert [chief.returncode, worker.returncode] == [130, 130]
    assert all(line.startswith("Stopped in epoch") and "--resume" in line for line in stopped)
    with workers(tmp_path / "run", "--epochs", 2, "--resume") as both:
        for process in both:
            process.communicate()
    assert_close(numbers(tmp_path / "run"), numbers(whole_by_workers), 1e-5)


@pytest.mark.process
def test_killed_worker_ends_the_others_and_all_go_on(whole_by_workers, tmp_path) -> None:
    with workers(tmp_path / "run", "--epochs", 2) as (chief, worker):
        wait_for(lambda: list((tmp_path / "run/checkpoints").glob("step-0000000043")), chief)
        worker.kill()
        worker.communicate()
        _, stderr = chief.communicate()
    assert chief.returncode == 1
    assert stderr.splitlines()[-1].startswith("Error: Another worker has gone")
    with workers(tmp_path / "run", "--epochs", 2, "--resume") as again:
        assert "Going on after 1 epochs and 10 steps." in again[0].communicate()[1]
        again[1].communicate()
    assert_close(numbers(tmp_path / "run"), numbers(whole_by_workers), 1e-5)


def test_workers_of_a_slurm_job(monkeypatch) -> None:
    """As srun sets the environment of the third of four tasks on two nodes."""
    tasks = {"PROCID": 2, "STEP_NODELIST": "gpu[07-08]", "STEP_NUM_NODES": 2, "STEP_TASKS_PER_NODE": "2(x2)"}
    for name, value in {**tasks, "STEP_NUM_TASKS": 4, "NTASKS": 4}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setenv("TF_CONFIG", "")
    cluster_from_slurm(port=5000)
    assert json.loads(os.environ["TF_CONFIG"]) == {
        "cluster": {"worker": ["gpu07:5000", "gpu07:5001", "gpu08:5000", "gpu08:5001"]},
        "task": {"type": "worker", "index": 2},
    }


@pytest.mark.long
def test_tf_config_that_is_wrong(tmp_path) -> None:
    environment = {**os.environ, "TF_CONFIG": json.dumps({"cluster": {"ps": ["a:1"]}})}
    result = subprocess.run(command(tmp_path / "run"), env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "TF_CONFIG may have only the jobs 'worker'" in result.stderr
