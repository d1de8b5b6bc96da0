"""Locate-Then-Examine: decide whether an image is a photo or AI-generated, and show the evidence."""

import os

__version__ = "0.1.0"

# Libraries below tell their makers that they are used (TRL does when a training starts); nobody is told here. They read
# this when they are imported, which is later.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
