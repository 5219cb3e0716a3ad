"""Fewer bits for the 32-bit weights of exported networks."""
