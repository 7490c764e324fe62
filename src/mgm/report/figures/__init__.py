"""Figures of predictions, generated images, samples and training curves, drawn with matplotlib."""
