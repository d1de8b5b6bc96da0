"""Locate, crop, examine: from an image to a grounded verdict."""
