"""The generic training loop: updates, optimisers, checkpoints, logs."""
