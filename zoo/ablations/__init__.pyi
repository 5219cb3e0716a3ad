from .presets import ABLATIONS as ABLATIONS
from .presets import Ablation as Ablation
from .presets import find_ablation as find_ablation
from .study import run_ablation as run_ablation
