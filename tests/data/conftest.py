"""Property tests have no deadline: machines that run other work at the same time would break it."""

from hypothesis import settings

settings.register_profile("no_deadline", deadline=None, max_examples=50)
settings.load_profile("no_deadline")
