"""Figures of predictions, samples and curves, drawn with matplotlib."""
