"""A run from its settings to its result: data, training, the folder that it leaves."""
