"""Tensor mathematics without state: losses, means over valid pixels, statistics over processes."""
