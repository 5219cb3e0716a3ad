"""The paper's ablation studies as presets: trainings that differ in one thing."""

from larq_melius.zoo.ablations.presets import ABLATIONS, Ablation, find_ablation
from larq_melius.zoo.ablations.study import run_ablation

__all__ = ["ABLATIONS", "Ablation", "find_ablation", "run_ablation"]
