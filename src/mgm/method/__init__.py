"""The paper: its algorithm, losses, self-supervision and recipes."""
