"""A plugin for pytest: the classes of docs/extending.md stand in the dictionaries when tests are collected."""

import extended
from documents import DOCS, python_of

for program in python_of(DOCS / "extending.md"):
    extended.enter(program)
