"""Changes a module as it is loaded, wherever in the processes of a search that is."""

import importlib.abc
import importlib.machinery
import sys


class ModuleThatIsChanged(importlib.abc.MetaPathFinder):
    """Loads a module as it is, and then has it changed."""

    def __init__(self, module, change):
        self._module, self._change = module, change

    def find_spec(self, name, path, target=None):
        if name != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            self._change(module)

        spec.loader.exec_module = exec_module
        return spec


def change_when_loaded(module, change):
    """Have `change` called with the module of this name, once it is loaded."""
    sys.meta_path.insert(0, ModuleThatIsChanged(module, change))
