"""``python -m mgm``, and ``torchrun -m mgm`` for several processes."""

from mgm.cli import main

main()
