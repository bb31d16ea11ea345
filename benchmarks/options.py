"""What the two searches that are compared are told: the same options. No ray, and none of our settings of it."""

import argparse
from pathlib import Path


def search_options(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of recordings")
    parser.add_argument("--epochs", type=int, nargs="+", required=True, help="of each trial")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--batch-size", type=int, default=32)
    return parser
