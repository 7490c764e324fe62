"""The algorithm and the loop that carries it out."""
