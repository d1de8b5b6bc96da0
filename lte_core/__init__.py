"""Locate-Then-Examine: decide whether an image is a photo or AI-generated, and show the evidence."""

__version__ = "0.1.0"
