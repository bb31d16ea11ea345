#!/usr/bin/env python
"""What `asd-ray download` is, for a clone: the same options, the same results."""

import sys

try:
    from asd_ray.commands import run_script
except ModuleNotFoundError as error:  # what a fresh clone lacks is said in one line, and not by a traceback
    sys.exit(f"error: {error}; run: make setup && . .venv/bin/activate")

if __name__ == "__main__":
    run_script("download")
