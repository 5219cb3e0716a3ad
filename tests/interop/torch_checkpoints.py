"""Reads PyTorch files with this project's reader, or writes varieties of them, in an environment with PyTorch.

    python torch_checkpoints.py read ../../converters/torch_files.py checkpoint.pth state.npz
    python torch_checkpoints.py write checkpoint.pth folder

``read`` loads the reader by its path, as this environment has neither this project nor TensorFlow. ``write`` keeps the
tensors of a state dict in the ways that projects do, and in some that must be refused.
"""

import argparse
import importlib.util
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import torch


class Malicious:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


def read(reader: Path, checkpoint: Path, output: Path) -> None:
    spec = importlib.util.spec_from_file_location("torch_files", reader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        state = module.read_state(checkpoint)
    except ValueError as error:
        sys.exit(str(error))
    np.savez(output, **state)


def write(checkpoint: Path, folder: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    inner = {f"model.{name}": tensor for name, tensor in state.items()}
    lightning = {
        "epoch": 1,
        "global_step": 2,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": inner | {"teacher.features.0.weight": torch.ones(1)},
        "loops": {},
        "callbacks": {},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.002}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.002, "optimizer": "radam"},
    }
    proof = folder / "proof"
    files = {
        "lightning.ckpt": lightning,
        "example.pth": {"epoch": 1, "model": state, "optimizer": {}, "lr_scheduler": None},
        "bfloat16.pth": {name: tensor.bfloat16() for name, tensor in state.items()},
        "parameters.pth": {
            name: torch.nn.Parameter(tensor, tensor.is_floating_point()) for name, tensor in state.items()
        },
        "malicious.pth": {**state, "features.0.weight": Malicious(proof)},
        "malicious.ckpt": {**lightning, "hyper_parameters": Malicious(proof)},
        "namespace.ckpt": {**lightning, "hyper_parameters": argparse.Namespace(lr=0.002)},
        "module.pth": torch.nn.Conv2d(1, 1, 1),
        "numbers.pth": {"lr": 0.002},
        "list.pth": list(state.values()),
    }
    for name, content in files.items():
        torch.save(content, folder / name)
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(files["malicious.pth"], folder / "malicious_legacy.pth", _use_new_zipfile_serialization=False)
    (folder / "malicious.pkl").write_bytes(pickle.dumps(Malicious(proof), protocol=2))
    (folder / "malicious4.pkl").write_bytes(pickle.dumps(Malicious(proof), protocol=4))
    (folder / "truncated.pth").write_bytes(checkpoint.read_bytes()[:-1000])
    (folder / "text.pth").write_text("weights")
    (folder / "empty.pth").touch()


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"read": read, "write": write}[command](*map(Path, paths))
