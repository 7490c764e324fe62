"""Image generators; `GENERATORS` is the registry."""

from mgm.networks.generators.base import IMAGE_SIZES, Discriminator, Generator, GeneratorPair
from mgm.networks.generators.dcgan import DCGANDiscriminator, DCGANGenerator
from mgm.networks.generators.sagan import SAGANDiscriminator, SAGANGenerator

GENERATORS: dict[str, GeneratorPair] = {
    "sagan": GeneratorPair(SAGANGenerator, SAGANDiscriminator),
    "dcgan": GeneratorPair(DCGANGenerator, DCGANDiscriminator),
}

__all__ = [
    "GENERATORS",
    "IMAGE_SIZES",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "Generator",
    "GeneratorPair",
    "SAGANDiscriminator",
    "SAGANGenerator",
]
