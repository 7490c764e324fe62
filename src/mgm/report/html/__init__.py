"""A self-contained HTML page for a run or an experiment, made from the files in its folder."""
