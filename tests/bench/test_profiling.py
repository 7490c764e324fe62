from __future__ import annotations

import pytest
import torch

from mgm.bench.profiling import GROUPS, REST, group_of, profiled


@pytest.mark.parametrize(
    ("operator", "group"),
    [
        ("aten::mkldnn_convolution", "convolution"),
        ("aten::_convolution", "convolution"),
        ("aten::cudnn_convolution_transpose", "convolution"),
        ("aten::convolution_backward", "convolution_backward"),
        ("aten::native_batch_norm_backward", "batch_norm"),
        ("aten::_softmax", "attention"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "attention"),
        ("aten::max_pool2d_with_indices", "pooling"),
        ("aten::_fused_adam_", "optimisers"),
        ("aten::copy_", REST),
    ],
)
def test_operators_are_grouped(operator, group):
    assert group_of(operator) == group


def test_the_time_of_a_call_lies_where_it_was_spent():
    images, kernel = torch.randn(8, 32, 64, 64), torch.randn(64, 32, 3, 3)
    seconds = profiled(lambda: torch.nn.functional.conv2d(images, kernel), torch.device("cpu"))
    assert seconds.keys() == {*GROUPS, REST}
    assert seconds["convolution"] > 0.5 * sum(seconds.values()) > 0
    assert seconds["convolution_backward"] == seconds["optimisers"] == 0
