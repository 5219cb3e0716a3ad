"""Releases of trained weights: files, model card and registry entries."""
