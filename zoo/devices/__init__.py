"""Measuring exported networks on Android phones: the harness over adb, its results, and a page of them."""
