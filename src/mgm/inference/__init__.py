"""A finished run in use: predictions, scores, new images, and what is handed on to others."""
