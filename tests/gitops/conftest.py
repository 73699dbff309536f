"""The chart as Helm renders it, for what it brings for GitOps tools."""

from tests.chart.conftest import helm, helm_program, render

__all__ = ["helm", "helm_program", "render"]
