"""``python -m mgm``, and ``torchrun -m mgm`` for several processes."""

from mgm.cli.main import main

main()
