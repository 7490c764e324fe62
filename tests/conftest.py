import os

import pytest
import torch

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(autouse=True)
def one_thread():
    """Tests run side by side in several processes: one thread each is faster, and results do not depend on the count."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Converted data of tests goes to a temporary folder, unless CI shares one."""
    if "MGM_CACHE" not in os.environ:
        os.environ["MGM_CACHE"] = str(tmp_path_factory.mktemp("cache"))
