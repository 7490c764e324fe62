"""Use of a finished run: prediction, evaluation, image generation, export and model folders."""
