"""Stands in for omegaconf, which the tests do without."""

from types import SimpleNamespace

import yaml


class OmegaConf:
    @staticmethod
    def load(file):
        with open(file) as read:
            return _opened(yaml.safe_load(read))


def _opened(value):
    return SimpleNamespace(**{name: _opened(inner) for name, inner in value.items()}) if isinstance(value, dict) else value
