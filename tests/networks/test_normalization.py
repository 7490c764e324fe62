from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as torch_spectral_norm

from mgm.networks.normalization import BatchNorm2d, ConditionalBatchNorm2d, SpectralNorm, frozen_buffers, spectral_norm


def random_conditional(num_features=3, num_labels=4, dtype=torch.float32):
    norm = ConditionalBatchNorm2d(num_features, num_labels).to(dtype)
    nn.init.normal_(norm.gains)
    nn.init.normal_(norm.biases)
    return norm


def buffers_of(*modules):
    return [buffer.clone() for module in modules for buffer in module.buffers()]


def assert_same(before, after):
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


ONE_HOT = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
MULTI_HOT = torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]])


@pytest.mark.parametrize("labels", [ONE_HOT, MULTI_HOT], ids=["one-hot", "multi-hot"])
def test_conditional_batch_norm_is_equation_1(labels):
    norm = random_conditional()
    features = torch.randn(3, 3, 5, 4) * 2 + 7
    result = norm(features, labels)
    for c in range(3):
        mean, variance = features[:, c].mean(), features[:, c].var(unbiased=False)
        for i in range(3):
            active = [k for k in range(4) if labels[i, k] > 0] or range(4)
            gain = sum(norm.gains[k, c] for k in active) / len(active)
            bias = sum(norm.biases[k, c] for k in active) / len(active)
            expected = gain * (features[i, c] - mean) / torch.sqrt(variance + 1e-5) + bias
            torch.testing.assert_close(result[i, c], expected, atol=1e-5, rtol=1e-5)


def test_equal_classes_are_plain_batch_norm():
    norm, plain = ConditionalBatchNorm2d(3, 4), nn.BatchNorm2d(3)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    with torch.no_grad():
        norm.gains.copy_(plain.weight.expand(4, 3))
        norm.biases.copy_(plain.bias.expand(4, 3))
    features = torch.randn(3, 3, 4, 4)
    torch.testing.assert_close(norm(features, MULTI_HOT), plain(features))
    torch.testing.assert_close(norm.eval()(features, MULTI_HOT), plain.eval()(features))


def test_conditional_batch_norm_gradients():
    norm = random_conditional(2, 3, torch.float64)
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 1]], dtype=torch.float64)

    def forward(features, gains, biases):
        return torch.func.functional_call(norm, {"gains": gains, "biases": biases}, (features, labels))

    features = torch.randn(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    gains, biases = (torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    with frozen_buffers(norm):
        assert torch.autograd.gradcheck(forward, (features, gains, biases))


def test_initial_conditional_batch_norm_only_normalises():
    norm = ConditionalBatchNorm2d(3, 4)
    features = torch.randn(3, 3, 4, 4)
    torch.testing.assert_close(norm(features, ONE_HOT), F.batch_norm(features, None, None, training=True))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_half_precision_stays(mode):
    norm = random_conditional()
    getattr(norm, mode)()
    features = torch.randn(3, 3, 4, 4)
    half = norm(features.bfloat16(), ONE_HOT)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), norm(features, ONE_HOT), atol=0.1, rtol=0.05)


def test_running_statistics_are_torchs():
    norm, reference = BatchNorm2d(3), nn.BatchNorm2d(3, momentum=0.1)
    for _ in range(3):
        features = torch.randn(2, 3, 4, 4) * 3 + 1
        torch.testing.assert_close(norm(features), reference(features))
    torch.testing.assert_close(norm.state_dict(), reference.state_dict())


def test_own_formula_is_torchs():
    """The path of several processes, in one process."""
    norm, reference = BatchNorm2d(3), nn.BatchNorm2d(3)
    for layer in (norm, reference):
        nn.init.constant_(layer.weight, 1.7)
        nn.init.constant_(layer.bias, -0.3)
    features = torch.randn(4, 3, 5, 5) + 1000  # a large mean: sums of squares would cancel
    torch.testing.assert_close(norm._normalise_over_processes(features), reference(features), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(norm.state_dict(), reference.state_dict(), atol=1e-3, rtol=1e-4)


def test_without_update_statistics_the_batch_still_normalises():
    norm = BatchNorm2d(3)
    features = torch.randn(4, 3, 5, 5) * 2 + 5
    expected = nn.BatchNorm2d(3)(features)
    before = buffers_of(norm)
    norm.update_statistics = False
    torch.testing.assert_close(norm(features), expected)
    assert_same(before, buffers_of(norm))


def test_one_value_per_channel():
    norm = random_conditional()
    features = torch.randn(1, 3, 1, 1, requires_grad=True)
    result = norm(features, ONE_HOT[:1])
    # value and mean are each multiplied by 1/sqrt(eps) = 316 before they cancel
    torch.testing.assert_close(
        result.flatten(), norm.biases[0], rtol=0, atol=316 * 4 * torch.finfo().eps * features.abs().max().item()
    )
    result.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in norm.parameters())
    assert features.grad.isfinite().all()
    assert all(buffer.isfinite().all() for buffer in norm.buffers())


def test_frozen_buffers_holds_everything_still_and_restores():
    conv = spectral_norm(nn.Conv2d(3, 3, 3))
    norm, conditional, already_frozen = BatchNorm2d(3), ConditionalBatchNorm2d(3, 4), BatchNorm2d(3)
    already_frozen.update_statistics = False
    modules = (conv, norm, conditional, already_frozen)

    def forward():
        conditional(already_frozen(norm(conv(torch.randn(3, 3, 6, 6)))), ONE_HOT)

    before = buffers_of(*modules)
    with frozen_buffers(nn.ModuleList(modules), norm):
        forward()
        assert_same(before, buffers_of(*modules))
    forward()
    moved = [not torch.equal(a, b) for a, b in zip(before, buffers_of(*modules), strict=True)]
    assert moved == [True] * 8 + [False] * 3
    assert not already_frozen.update_statistics


def test_frozen_buffers_restores_after_an_error():
    norm = BatchNorm2d(3)
    with pytest.raises(RuntimeError, match="inside"), frozen_buffers(norm):
        raise RuntimeError("inside")
    assert norm.update_statistics


@pytest.mark.parametrize("seed", range(2))
def test_spectral_norm_is_torchs(seed):
    """In float64: the derivative is written out, so in single precision it rounds in another order than autograd."""
    torch.manual_seed(seed)
    conv = nn.Conv2d(4, 5, 3).double()
    ours, theirs = spectral_norm(deepcopy(conv)), torch_spectral_norm(deepcopy(conv))
    with torch.no_grad():
        for side in "uv":
            estimate = ours.get_buffer(f"parametrizations.weight.0.{side}")
            theirs.get_buffer(f"parametrizations.weight.0._{side}").copy_(estimate)
    images = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    for _ in range(3):
        results = [layer(images) for layer in (ours, theirs)]
        gradients = [
            torch.autograd.grad(result.square().sum(), layer.get_parameter("parametrizations.weight.original"))
            for result, layer in zip(results, (ours, theirs), strict=True)
        ]
        torch.testing.assert_close(*results)
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_spectral_norm_converges_and_stands_still_in_evaluation():
    linear = spectral_norm(nn.Linear(20, 30))
    nn.init.normal_(linear.get_parameter("parametrizations.weight.original"))
    for _ in range(100):
        linear(torch.zeros(1, 20))
    before = buffers_of(linear.eval())
    assert torch.linalg.matrix_norm(linear.weight, 2).item() == pytest.approx(1, abs=1e-3)
    assert_same(before, buffers_of(linear))


def test_spectral_norm_survives_two_passes_before_backward():
    linear = spectral_norm(nn.Linear(4, 4))
    (linear(torch.randn(2, 4)) - linear(torch.randn(2, 4))).square().sum().backward()
    gradients = [parameter.grad for parameter in linear.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_spectral_norm_is_full_precision_under_autocast():
    parametrisation = SpectralNorm(weight := torch.randn(16, 16))
    parametrisation.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = parametrisation(weight)
    assert low.dtype == torch.float32
    assert torch.equal(low, parametrisation(weight))


def test_gain_and_bias_are_what_evaluation_mode_does():
    norm = BatchNorm2d(3, eps=0.1, momentum=0.5)
    for values in (norm.weight, norm.bias, norm.get_buffer("running_mean")):
        nn.init.normal_(values)
    features = torch.randn(4, 3, 5, 6) * 3 + 1
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    norm(features)
    torch.testing.assert_close(norm.running_mean, (mean + features.mean(dim=(0, 2, 3))) / 2)
    torch.testing.assert_close(norm.running_var, (variance + features.var(dim=(0, 2, 3))) / 2)
    gain, bias = norm.eval().gain_and_bias()
    torch.testing.assert_close(norm(features), features * gain[:, None, None] + bias[:, None, None])
