"""Signals that end a training, deferred to the end of the current step so that its state can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from mgm.errors import ENDING_SIGNALS, Interrupted
from mgm.functional.distributed import world_size


class HeldSignals:
    """Signal handler that records the first signal; a second one interrupts at once."""

    def __init__(self) -> None:
        self.number = 0
        """Number of the signal received; 0: none."""

    def __call__(self, number: int, frame: object) -> None:
        """Record the signal.

        Raises:
            Interrupted: If it is the second one.
        """
        if self.number:
            raise Interrupted(number)
        self.number = number

    def agreed(self, device: torch.device) -> int:
        """The signal received by any process; 0: none. All processes must call it together."""
        if world_size() > 1:
            number = torch.tensor(self.number, device=device)
            dist.all_reduce(number, dist.ReduceOp.MAX)
            self.number = int(number)
        return self.number


@contextmanager
def held_signals() -> Generator[HeldSignals]:
    """Context that defers Ctrl-C and the other `ENDING_SIGNALS`, except those that are ignored (``nohup``).

    Does nothing outside the main thread, since only that receives signals.
    """
    held = HeldSignals()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, held)
    try:
        yield held
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
