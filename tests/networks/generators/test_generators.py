"""The contract of every entry of `GENERATORS`."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mgm.errors import ConfigError
from mgm.networks.generators import GENERATORS, IMAGE_SIZES
from mgm.networks.generators.base import can_generate, feature_sizes, nearest_sizes
from mgm.networks.normalization import BatchNorm2d, ConditionalBatchNorm2d, frozen_buffers
from mgm.types import parse_size, plain_size

SIZES = [size if size <= 64 else pytest.param(size, marks=pytest.mark.slow) for size in IMAGE_SIZES]
SIZES += ["32x128", "96x64", "40x56", "48"]
NUM_LABELS = 3
LABELS = torch.eye(NUM_LABELS)

pair = pytest.fixture(params=list(GENERATORS), name="pair")(lambda request: GENERATORS[request.param])


def make_generator(pair, size=32, num_labels=NUM_LABELS):
    """A generator whose classes differ, unlike those of a fresh one."""
    generator = pair.generator(size, 8, num_labels, width=4)
    for layer in generator.modules():
        if isinstance(layer, ConditionalBatchNorm2d):
            nn.init.normal_(layer.gains, 1, 0.5)
            nn.init.normal_(layer.biases, 0, 0.5)
    return generator


@pytest.mark.parametrize("size", SIZES)
def test_images_and_scores(pair, size):
    generator, discriminator = make_generator(pair, size), pair.discriminator(size, NUM_LABELS, width=4)
    images = generator(torch.randn(3, 8), LABELS)
    assert images.shape == (3, 3, *parse_size(size))
    assert images.abs().max() < 1
    assert images.std() > 1e-3
    assert (generator.image_size, generator.latent_size, generator.num_labels) == (parse_size(size), 8, NUM_LABELS)
    scores = discriminator(images, LABELS)
    assert scores.shape == (3,)
    assert scores.isfinite().all()


@pytest.mark.parametrize("channels", [1, 4])
def test_images_may_have_other_channels(pair, channels):
    generator = pair.generator(32, 8, NUM_LABELS, 4, channels)
    images = generator(torch.randn(3, 8), LABELS)
    assert images.shape == (3, channels, 32, 32)
    assert pair.discriminator(32, NUM_LABELS, 4, channels)(images, LABELS).shape == (3,)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_batch_of_one(pair, mode):
    generator, discriminator = make_generator(pair), pair.discriminator(32, NUM_LABELS, width=4)
    getattr(generator, mode)()
    images = generator(torch.randn(1, 8), LABELS[:1])
    assert images.shape == (1, 3, 32, 32)
    assert discriminator(images, LABELS[:1]).shape == (1,)


def test_other_sizes_are_refused(pair):
    for size, near in ((16, "32 or "), (512, "256 or "), ("32x132", "32x128 or "), ((66, 97), "64x96 or ")):
        with pytest.raises(ConfigError, match=f"{plain_size(size)} px, but of {near}"):
            pair.generator(size, 8, NUM_LABELS, width=4)
        with pytest.raises(ConfigError, match=f"{plain_size(size)} px, but of {near}"):
            pair.discriminator(size, NUM_LABELS, width=4)


def test_feature_maps_double_from_a_shorter_side_of_four_to_seven():
    assert feature_sizes(32) == ((4, 4), (8, 8), (16, 16), (32, 32))
    assert [height for height, _ in feature_sizes(256)] == [4, 8, 16, 32, 64, 128, 256]
    assert feature_sizes("96x128") == ((6, 8), (12, 16), (24, 32), (48, 64), (96, 128))
    assert feature_sizes((64, 112))[0] == (4, 7)
    assert feature_sizes((256, 64))[0] == (16, 4)


@given(st.tuples(st.integers(1, 1200), st.integers(1, 1200)), st.sampled_from([1, 16, 32]))
def test_sizes_that_are_named_can_be_generated(size, stride):
    near = [parse_size(found) for found in nearest_sizes(size, stride)]
    assert len(near) == 2
    assert all(can_generate(found) and not (found[0] % stride or found[1] % stride) for found in near)
    if can_generate(size) and not (size[0] % stride or size[1] % stride):
        assert near[0] == size


def test_labels_and_latent_matter(pair):
    generator = make_generator(pair)
    latent = torch.randn(1, 8).expand(2, 8)
    by_label = generator(latent, LABELS[:2])
    assert (by_label[0] - by_label[1]).abs().max() > 1e-3
    by_latent = generator(torch.randn(2, 8), LABELS[[0, 0]])
    assert (by_latent[0] - by_latent[1]).abs().max() > 1e-3


def test_scores_depend_on_labels(pair):
    torch.manual_seed(0)
    discriminator = pair.discriminator(32, NUM_LABELS, width=4)
    image = torch.rand(1, 3, 32, 32).expand(3, 3, 32, 32)
    assert discriminator(image, LABELS).unique().numel() == 3


def test_fresh_generators_are_unconditional_and_labels_train(pair):
    generator = pair.generator(32, 8, NUM_LABELS, width=4)
    generator(torch.randn(2, 8), torch.tensor([[1.0, 0, 0], [0, 0, 1]])).square().sum().backward()
    gradients = [m.gains.grad for m in generator.modules() if isinstance(m, ConditionalBatchNorm2d)]
    for gradient in gradients:
        assert gradient[0].abs().sum() > 0
        assert gradient[1].abs().sum() == 0  # the class that did not occur


def test_several_labels_are_the_mean_of_their_gains(pair):
    """A class whose parameters are the mean of two others' gives the image of both labels together."""
    generator = make_generator(pair)
    for layer in generator.modules():
        if isinstance(layer, ConditionalBatchNorm2d):
            with torch.no_grad():
                layer.gains[2] = layer.gains[:2].mean(0)
                layer.biases[2] = layer.biases[:2].mean(0)
    latent = torch.randn(1, 8).expand(2, 8)
    both, mean = generator(latent, torch.tensor([[1.0, 1, 0], [0, 0, 1]]))
    torch.testing.assert_close(both, mean, atol=1e-5, rtol=1e-4)


def test_one_label_is_unconditional(pair):
    generator, discriminator = make_generator(pair, num_labels=1), pair.discriminator(32, 1, width=4)
    latent = torch.randn(1, 8)
    with frozen_buffers(generator, discriminator):
        known, unknown = (generator(latent, label) for label in (torch.ones(1, 1), torch.zeros(1, 1)))
        assert torch.equal(known, unknown)
        assert torch.equal(discriminator(known, torch.ones(1, 1)), discriminator(known, torch.zeros(1, 1)))


def test_every_discriminator_weight_has_norm_one(pair):
    """After many passes the largest singular value is 1, by a singular value decomposition."""
    discriminator = pair.discriminator(32, NUM_LABELS, width=4)
    for _ in range(60):
        discriminator(torch.randn(1, 3, 32, 32), LABELS[:1])
    discriminator.eval()
    layers = [layer for layer in discriminator.modules() if isinstance(layer, (nn.Conv2d, nn.Linear, nn.Embedding))]
    assert len(layers) >= 5
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.03)


def test_scores_do_not_depend_on_the_batch(pair):
    discriminator = pair.discriminator(32, NUM_LABELS, width=4)
    images = torch.randn(3, 3, 32, 32)
    assert not any(isinstance(layer, nn.modules.batchnorm._NormBase) for layer in discriminator.modules())
    with frozen_buffers(discriminator):
        alone = torch.cat([discriminator(images[i : i + 1], LABELS[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(discriminator(images, LABELS), alone, atol=1e-4, rtol=1e-4)


def test_projection_score_by_hand(pair):
    score = pair.discriminator(32, NUM_LABELS, width=4).score.eval()
    pooled = torch.randn(2, score.dense.in_features)
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    psi, bias, table = score.dense.weight[0], score.dense.bias[0], score.embedding.weight
    expected = torch.stack(
        [
            psi @ pooled[0] + bias + (table[0] + table[2]) / 2 @ pooled[0],
            psi @ pooled[1] + bias + (table[0] + table[1] + table[2]) / 3 @ pooled[1],
        ]
    )
    torch.testing.assert_close(score(pooled, labels), expected)


def test_inputs_stay_as_they_are(pair):
    generator, discriminator = make_generator(pair), pair.discriminator(32, NUM_LABELS, width=4)
    latent, images = torch.randn(2, 8), torch.randn(2, 3, 32, 32)
    copies = latent.clone(), images.clone()
    generator(latent, LABELS[:2])
    discriminator(images, LABELS[:2])
    assert torch.equal(latent, copies[0])
    assert torch.equal(images, copies[1])


def test_all_parameters_train(pair):
    generator, discriminator = make_generator(pair), pair.discriminator(32, NUM_LABELS, width=4)
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                nn.init.ones_(parameter)
    discriminator(generator(torch.randn(3, 8), LABELS), LABELS).square().sum().backward()
    for network in (generator, discriminator):
        without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert without == []


def test_initial_weights_depend_on_the_seed_alone(pair):
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append((pair.generator(32, 8, 3, 4).state_dict(), pair.discriminator(32, 3, 4).state_dict()))
    torch.testing.assert_close(states[0], states[1], atol=0, rtol=0)


def test_running_statistics_serve_evaluation(pair):
    generator = make_generator(pair)
    norms = [layer for layer in generator.modules() if isinstance(layer, BatchNorm2d)]
    assert all(norm.momentum == 0.1 for norm in norms)
    latent, labels = torch.randn(16, 8), LABELS[torch.arange(16) % 3]
    with torch.no_grad():
        trained = [generator(latent, labels) for _ in range(100)][-1]
        evaluated = generator.eval()(latent, labels)
    assert (evaluated - trained).abs().mean() < 0.02


def test_autocast_changes_little_and_gives_float32(pair):
    generator, discriminator = make_generator(pair), pair.discriminator(32, NUM_LABELS, width=4)
    latent = torch.randn(8, 8)
    labels = LABELS[torch.arange(8) % 3]
    with frozen_buffers(generator, discriminator):
        images = generator(latent, labels)
        scores = discriminator(images, labels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low_images = generator(latent, labels)
            low_scores = discriminator(images, labels)
    (low_images.mean() + low_scores.mean()).backward()
    assert low_images.dtype == low_scores.dtype == torch.float32
    assert (low_images - images).abs().mean() < 0.05
    assert (low_scores - scores).abs().mean() < 0.05 * (1 + scores.abs().mean())


def test_copies_are_independent(pair):
    generator = make_generator(pair)
    copy = deepcopy(generator)
    before = [buffer.clone() for buffer in copy.buffers()]
    generator(torch.randn(2, 8), LABELS[:2])
    assert all(torch.equal(a, b) for a, b in zip(before, copy.buffers(), strict=True))
    copy.load_state_dict(generator.state_dict())
    latent = torch.randn(2, 8)
    assert torch.equal(copy.eval()(latent, LABELS[:2]), generator.eval()(latent, LABELS[:2]))
