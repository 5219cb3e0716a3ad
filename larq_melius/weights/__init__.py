"""Weights: what there is, where it comes from, and how it gets into a model."""

from larq_melius.weights.loading import load_weights
from larq_melius.weights.packed import load_packed, save_packed
from larq_melius.weights.records import WeightsRecord, find_record, list_records

__all__ = ["WeightsRecord", "find_record", "list_records", "load_packed", "load_weights", "save_packed"]
