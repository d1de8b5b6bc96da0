"""TRACE review: people accept or fix purified samples, and the result becomes SFT data."""
