"""Runs from settings to result: checks, data, training, and the run folder."""
