"""HOW TO TRAIN ON n LABELS: each strategy turns labelled cases into training samples (torch, monai).

Strategies are made on demand, so that asking for one does not import the others.
"""

from __future__ import annotations

from importlib import import_module

from scaling_app.strategies.base import Strategy, make_strategy, names, register

__all__ = ["Strategy", "make_strategy", "names", "register"]

_CLASSES = {
    "none": "baseline:NoAugmentation",
    "baseline": "baseline:Baseline",
    "red": "deformation:Red",
    "regda": "deformation:RegDA",
    "regda+pool": "deformation:RegDAPool",
    "genda": "deformation:GenDA",
    "genseg": "generative:GenSeg",
    "genseg+fields": "generative:GenSegFields",
    "genda+genseg": "generative:GenDAGenSeg",
}


def _factory(location: str):
    module, cls = location.split(":")
    return lambda: getattr(import_module(f"scaling_app.strategies.{module}"), cls)()


for _name, _location in _CLASSES.items():
    register(_name, _factory(_location))
