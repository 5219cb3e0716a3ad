"""Recipes, data, training and evaluation."""
