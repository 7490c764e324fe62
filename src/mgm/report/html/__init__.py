"""One self-contained HTML page of a run or an experiment, made from what its folder holds."""
