"""Counts against cases that can be counted by hand."""

import torch
from torch.nn import functional as F

from counting import count, flop_counter


def test_arithmetic_of_a_convolution():
    images, kernel = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3)
    work = count(lambda: F.conv2d(images, kernel, padding=1))
    assert work.flop == 2 * 2 * 5 * 8 * 8 * 3 * 9


def test_operators_count_and_views_do_not():
    values = torch.randn(4, 4)
    assert count(lambda: (values.t().view(4, 4) + 1).relu()).launches == 2
    assert count(lambda: values.expand(2, 4, 4)).launches == 0


def test_reads_by_the_host():
    values = torch.randn(4)
    assert count(lambda: (values.sum().item(), float(values.max()))).reads == 2
    assert count(lambda: values.sum()).reads == 0


def test_peak_is_what_lives_at_once():
    kilobyte = 256 * 4

    def one_after_the_other():
        for _ in range(10):
            torch.zeros(256)

    def all_together():
        return [torch.zeros(256) for _ in range(10)]

    assert kilobyte <= count(one_after_the_other).peak_bytes <= 2 * kilobyte
    assert count(all_together).peak_bytes == 10 * kilobyte


def test_what_was_there_before_counts_once():
    held = torch.zeros(256)
    assert count(lambda: held.view(16, 16), [held, held[:3]]).peak_bytes == 1024


def test_memory_is_that_of_the_work_and_not_of_counting_it():
    """What counts arithmetic keeps graphs that are differentiated with ``retain_graph``."""
    network = torch.nn.Sequential(*(torch.nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)))
    images = torch.randn(2, 4, 32, 32)

    def passes(number):
        for _ in range(number):
            network(images).sum().backward(inputs=list(network.parameters()), retain_graph=True)

    passes(1)  # makes the gradients
    assert count(lambda: passes(4)).peak_bytes == count(lambda: passes(2)).peak_bytes


def test_attention_of_a_cpu_counts():
    """Two products forward; five backward, of which the first repeats one of the forward pass."""
    query, key, value = (torch.randn(2, 1, length, 4, requires_grad=True) for length in (16, 8, 8))
    product = 2 * 2 * 16 * 8 * 4
    with flop_counter() as counter:
        seen = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        forward = counter.get_total_flops()
        seen.sum().backward()
    assert forward == 2 * product
    assert counter.get_total_flops() == (2 + 5) * product
