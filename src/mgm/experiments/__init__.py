"""The paper's experiments: plans of trials, workers that run them, and statistics, tables and figures of the results."""
