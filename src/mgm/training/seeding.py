"""Randomness as a function of names: nothing is drawn from a shared stream, so nothing has to be saved to resume.

The batch, the noise and the augmentation of step ``t`` depend on the run's seed, on their own name and on ``t`` alone. A recipe
that draws more random numbers than another therefore still sees the same batches and starts from the same weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager

import torch


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from names and numbers, the same on every machine and in every Python."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_generator(device: torch.device, *parts: object) -> torch.Generator:
    """A fresh generator for the stream named by ``parts``."""
    return torch.Generator(device).manual_seed(derive_seed(*parts))


@contextmanager
def seeded(*parts: object) -> Generator[None]:
    """Draw from the stream named by ``parts`` inside the block; the global state is as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*parts))
        yield
