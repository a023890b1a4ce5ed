"""The far end: our own server, which reflects call flows and serves bytes to fetch."""

from probe.farend.reflector import ReflectorLimits
from probe.farend.serve import FarEndConfig, RunningFarEnd, serve
from probe.farend.web import WebLimits
from probe.farend.webrtc import WebRtcLimits

__all__ = ["FarEndConfig", "ReflectorLimits", "RunningFarEnd", "WebLimits", "WebRtcLimits", "serve"]
