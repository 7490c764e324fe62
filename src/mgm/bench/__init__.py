"""What a training step costs, part by part, and beside the pass structure of the authors' public code."""
