"""The paper's experiments: plans of trials, workers that carry them out, statistics, tables and figures of what they found."""
