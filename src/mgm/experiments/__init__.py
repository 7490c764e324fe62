"""Runs: settings, recipes, data, and what is done with a trained model."""
