"""The networks of the method. They depend on channel counts, not on tasks."""

from mgm.networks.decoder import Decoder
from mgm.networks.efficientnet_lite import EfficientNetLite0
from mgm.networks.embedding import LatentEmbedding
from mgm.networks.encoder import ResNetEncoder
from mgm.networks.generators import GENERATORS, Discriminator, Generator, GeneratorPair
from mgm.networks.normalization import BatchNorm2d, ConditionalBatchNorm2d, frozen_buffers, spectral_norm
from mgm.networks.refinement import RefinementNetwork

__all__ = [
    "GENERATORS",
    "BatchNorm2d",
    "ConditionalBatchNorm2d",
    "Decoder",
    "Discriminator",
    "EfficientNetLite0",
    "Generator",
    "GeneratorPair",
    "LatentEmbedding",
    "RefinementNetwork",
    "ResNetEncoder",
    "frozen_buffers",
    "spectral_norm",
]
