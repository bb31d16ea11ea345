"""`python -m asd_ray` is `asd-ray`, wherever that lies."""

from asd_ray.commands import run_as_module

if __name__ == "__main__":
    run_as_module()
