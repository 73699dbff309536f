"""A search that tests vary."""

from typing import Any

from modelwright_training.contract import Algorithm, Parameter, Scale, Tuning

C = Parameter("C", low=0.001, high=100.0, scale=Scale.LOG)


def tuning(*space: Parameter, algorithm: Algorithm = Algorithm.SOBOL, count: int = 16, **more: Any) -> Tuning:
    return Tuning(algorithm, count, space or (C,), 5, **more)
