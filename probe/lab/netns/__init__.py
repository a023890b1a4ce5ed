"""The engine of namespaces: real kernels at both ends, a TUN middlebox between; needs root."""

from probe.lab.netns.commands import LabError, missing
from probe.lab.netns.lab import NetnsLab

__all__ = ["LabError", "NetnsLab", "missing"]
