"""`python -m asd_ray` does what `asd-ray` does, wherever that script is installed."""

from asd_ray.commands import run_as_module

if __name__ == "__main__":
    run_as_module()
