"""The loop that carries out an algorithm of updates."""
