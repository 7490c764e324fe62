import torch

from mgm.networks.generators.dcgan import DCGANDiscriminator, DCGANGenerator
from mgm.networks.normalization import ConditionalBatchNorm2d


def test_layers_are_those_of_radford():
    generator, discriminator = DCGANGenerator(64, 8, 3, 64), DCGANDiscriminator(64, 3, 64)
    assert [layer.in_channels for layer in generator.convolutions] == [512, 256, 128, 64]
    assert [layer.out_channels for layer in discriminator.convolutions] == [64, 128, 256, 512]


def test_batch_norm_is_conditional_everywhere():
    generator = DCGANGenerator(32, 8, 3, 4)
    assert len(generator.norms) == len(generator.convolutions)
    assert all(isinstance(norm, ConditionalBatchNorm2d) for norm in generator.norms)


def test_initial_weights_have_standard_deviation_002():
    torch.manual_seed(0)
    generator = DCGANGenerator(64, 64, 3, 32)
    for layer in (generator.dense, *generator.convolutions):
        torch.testing.assert_close(layer.get_parameter("weight").std(), torch.tensor(0.02), atol=0, rtol=0.1)
