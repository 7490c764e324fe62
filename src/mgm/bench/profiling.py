"""Where the time of a step goes: the operators that torch's profiler saw, in the groups that one can do something about."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch

import torch
from torch.profiler import ProfilerActivity, profile

GROUPS: dict[str, tuple[str, ...]] = {
    "convolution": ("aten::*convolution", "aten::cudnn_convolution*"),
    "convolution_backward": ("aten::convolution_backward",),
    "batch_norm": ("aten::*batch_norm*", "aten::batch_norm*"),
    "attention": ("aten::*dot_product*", "aten::*attention*", "aten::bmm", "aten::_softmax*", "aten::baddbmm"),
    "pooling": ("aten::*pool2d*",),
    "optimisers": ("aten::_fused_adam*", "aten::_foreach*", "aten::lerp*"),
}
"""Group -> patterns of its operators' names; an operator belongs to the first that fits."""
REST = "rest"
"""Everything else: element by element, copies, losses, views, spectral norms."""


def group_of(operator: str) -> str:
    """The group of an operator."""
    return next(
        (group for group, patterns in GROUPS.items() if any(fnmatch(operator, pattern) for pattern in patterns)), REST
    )


def profiled(run: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Group -> seconds that its operators took by themselves in one call, on the device where there is one."""
    on_device = device.type == "cuda"
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA] if on_device else [ProfilerActivity.CPU]
    with profile(activities=activities, acc_events=True) as recorded:
        run()
        if on_device:
            torch.cuda.synchronize(device)
    seconds = dict.fromkeys((*GROUPS, REST), 0.0)
    for event in recorded.key_averages():
        taken = event.self_device_time_total if on_device else event.self_cpu_time_total
        seconds[group_of(event.key)] += taken / 1e6
    return seconds
