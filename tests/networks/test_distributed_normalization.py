"""Two processes with half a batch each must do what one does with all of it."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn

from mgm.networks.normalization import BatchNorm2d, ConditionalBatchNorm2d

ROWS = (3, 2)  # unequal on purpose


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.plain = BatchNorm2d(3)
        self.conditional = ConditionalBatchNorm2d(3, 4)
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(self, images, labels):
        return self.conditional(torch.tanh(self.plain(images)), labels)


def data():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(sum(ROWS), 3, 4, 4, generator=generator) * 2 + 3
    labels = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 3, 2]), 4).float()
    return images, labels, torch.randn(images.shape, generator=generator)


def run(images, labels, weights):
    """Gradients and buffers for the loss ``sum(weights * output)``, twice forward so that buffers matter."""
    layers = Layers()
    images = images.clone().requires_grad_()
    layers(images.detach() * 0.5, labels)
    (layers(images, labels) * weights).sum().backward()
    gradients = {name: parameter.grad for name, parameter in layers.named_parameters()}
    return gradients, dict(layers.named_buffers()), images.grad


def worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    parts = [tensor.split(ROWS)[rank] for tensor in data()]
    torch.save(run(*parts), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    spawn(worker, args=(str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    gradients, buffers, image_gradient = run(*data())
    summed = {name: parts[0][0][name] + parts[1][0][name] for name in gradients}
    torch.testing.assert_close(summed, gradients, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.cat([part[2] for part in parts]), image_gradient, atol=1e-5, rtol=1e-4)
    for _, part_buffers, _ in parts:
        torch.testing.assert_close(part_buffers, buffers, atol=1e-5, rtol=1e-5)
