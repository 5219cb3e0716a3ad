"""Weights: what there is, where it comes from, and how it gets into a model."""

from larq_melius.weights.loading import load_weights
from larq_melius.weights.packed import load_packed, save_packed
from larq_melius.weights.records import WeightsRecord, find_record, list_records
from larq_melius.weights.store import WeightsUnavailableError, cached_path, fetch, is_intact, locate

__all__ = [
    "WeightsRecord",
    "WeightsUnavailableError",
    "cached_path",
    "fetch",
    "find_record",
    "is_intact",
    "list_records",
    "load_packed",
    "load_weights",
    "locate",
    "save_packed",
]
