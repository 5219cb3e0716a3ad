"""Which devices and hosts a training runs on; the work is TensorFlow's own ``tf.distribute``."""

import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_MOST_TASKS_OF_A_NODE = 1024


def cluster_from_hosts(hosts: Sequence[str], index: int) -> None:
    """Describes a cluster to TensorFlow, in ``TF_CONFIG``, as launchers of other frameworks are told of theirs.

    Args:
        hosts: ``host:port`` of every worker, the same list on each; the first one is the chief.
        index: Which of them this process is, from 0.

    Raises:
        ValueError: If the list or the index is wrong.
    """
    for host in hosts:
        name, _, port = host.rpartition(":")
        if not name or not port.isdigit():
            raise ValueError(f"{host!r} is no address of a worker: write host:port, such as node1:2222.")
    if len(set(hosts)) != len(hosts):
        raise ValueError("Every worker needs an address of its own: use another port on the same host.")
    if not 0 <= index < len(hosts):
        raise ValueError(f"index must be from 0 to {len(hosts) - 1}, got {index}.")
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(hosts)}, "task": task})


def cluster_from_slurm(port: int = 8888) -> None:
    """Describes the cluster of a SLURM job step, one worker a task, in ``TF_CONFIG``.

    Raises:
        ValueError: If this process was not started by ``srun``.
    """
    if "SLURM_PROCID" not in os.environ:
        raise ValueError("This is no task of a SLURM job: start it with srun, or name the workers with --hosts.")
    # SLURM itself gives each task its GPUs. The resolver would count them by nvidia-smi, also where there is none, and
    # leave tasks out for which there are too few.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=port, gpus_per_node=_MOST_TASKS_OF_A_NODE, gpus_per_task=1, auto_set_gpu=False
    )
    workers = resolver.cluster_spec().as_dict()["worker"]
    cluster_from_hosts(workers, int(resolver.get_task_info()[1]))


def worker_count() -> int:
    """Number of workers that ``TF_CONFIG`` names; 1 without it.

    Raises:
        ValueError: If ``TF_CONFIG`` cannot be read.
    """
    return len(_workers(_tf_config())) or 1


def choose_strategy(devices: int | None = None) -> tf.distribute.Strategy:
    """The strategy for this process: all workers of ``TF_CONFIG``, all GPUs of this host, or one device.

    It must be called before TensorFlow has run anything, as several workers cannot be set up later.

    Args:
        devices: How many devices of this host to use; all of its GPUs, or else the CPU, by default. More than one
            without GPUs splits the CPU into as many, which is of use for trying out only.

    Raises:
        ValueError: If there are not as many, or ``TF_CONFIG`` is wrong.
    """
    if devices is not None and devices < 1:
        raise ValueError(f"devices must be at least 1, got {devices}.")
    gpus = tf.config.list_physical_devices("GPU")
    if devices is not None and gpus and devices > len(gpus):
        raise ValueError(f"This machine has {len(gpus)} GPUs, not {devices}.")
    if devices is not None and not gpus:
        _split_cpu(devices)
    if worker_count() > 1:
        if devices is not None and gpus:
            tf.config.set_visible_devices(gpus[:devices], "GPU")
        return tf.distribute.MultiWorkerMirroredStrategy()
    kind = "GPU" if gpus else "CPU"
    count = devices or len(gpus) or 1
    if count > 1:
        return tf.distribute.MirroredStrategy([f"{kind}:{index}" for index in range(count)])
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files of the run."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id in (None, 0)


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise ValueError("devices must be chosen before TensorFlow has run anything.") from error


def _tf_config() -> dict[str, Any]:
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return {}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"TF_CONFIG is no JSON: {error}.") from error
    if not isinstance(config, dict):
        raise ValueError("TF_CONFIG must be a JSON object with 'cluster' and 'task'.")
    return config


def _workers(config: dict[str, Any]) -> list[str]:
    cluster = config.get("cluster", {})
    if not isinstance(cluster, dict) or set(cluster) - {"worker", "chief"}:
        raise ValueError("The cluster in TF_CONFIG must have nothing but 'worker' (and 'chief').")
    return [*cluster.get("chief", []), *cluster.get("worker", [])]
