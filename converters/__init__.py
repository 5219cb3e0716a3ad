"""Converters from Keras to TFLite."""
