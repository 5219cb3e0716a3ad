"""The devices and hosts a training runs on, for ``tf.distribute``."""

import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_MOST_TASKS_OF_A_NODE = 1024


def cluster_from_hosts(hosts: Sequence[str], index: int) -> None:
    """Sets ``TF_CONFIG``, which describes the cluster to TensorFlow.

    Args:
        hosts: ``host:port`` of every worker, the same list on each of them; the first one is the chief.
        index: Index of this process in the list, from 0.

    Raises:
        ValueError: If the list or the index is wrong.
    """
    for host in hosts:
        name, _, port = host.rpartition(":")
        if not name or not port.isdigit():
            raise ValueError(f"{host!r} is no address of a worker: write host:port, such as node1:2222.")
    if len(set(hosts)) != len(hosts):
        raise ValueError("Every worker needs its own address: use different ports on the same host.")
    if not 0 <= index < len(hosts):
        raise ValueError(f"index must be from 0 to {len(hosts) - 1}, got {index}.")
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(hosts)}, "task": task})


def cluster_from_slurm(port: int = 8888) -> None:
    """Sets ``TF_CONFIG`` to the cluster of a SLURM job step, with one worker per task.

    Raises:
        ValueError: If ``srun`` did not start this process.
    """
    if "SLURM_PROCID" not in os.environ:
        raise ValueError("This is no task of a SLURM job: start it with srun, or name the workers with --hosts.")
    # SLURM assigns GPUs to tasks. The resolver would count them with nvidia-smi, even where that is missing, and drop
    # tasks for which it finds too few.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=port, gpus_per_node=_MOST_TASKS_OF_A_NODE, gpus_per_task=1, auto_set_gpu=False
    )
    workers = resolver.cluster_spec().as_dict()["worker"]
    cluster_from_hosts(workers, int(resolver.get_task_info()[1]))


def worker_count() -> int:
    """Number of workers in ``TF_CONFIG``; 1 if it is not set.

    Raises:
        ValueError: If ``TF_CONFIG`` is invalid.
    """
    return len(_workers(_tf_config())) or 1


def choose_strategy(devices: int | None = None) -> tf.distribute.Strategy:
    """Chooses a strategy: for all workers of ``TF_CONFIG``, all GPUs of this host, or a single device.

    Call it before TensorFlow runs any operation, since multiple workers cannot be set up later.

    Args:
        devices: Number of devices to use on this host; by default all of its GPUs, or the CPU. Without GPUs, more than
            one splits the CPU into that many logical devices, which is useful for tests only.

    Raises:
        ValueError: If the host has fewer devices, or ``TF_CONFIG`` is invalid.
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
            raise ValueError("devices must be chosen before TensorFlow runs any operation.") from error


def _tf_config() -> dict[str, Any]:
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return {}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"TF_CONFIG is not valid JSON: {error}.") from error
    if not isinstance(config, dict):
        raise ValueError("TF_CONFIG must be a JSON object with 'cluster' and 'task'.")
    return config


def _workers(config: dict[str, Any]) -> list[str]:
    cluster = config.get("cluster", {})
    if not isinstance(cluster, dict) or set(cluster) - {"worker", "chief"}:
        raise ValueError("The cluster in TF_CONFIG may have only the jobs 'worker' and 'chief'.")
    return [*cluster.get("chief", []), *cluster.get("worker", [])]
