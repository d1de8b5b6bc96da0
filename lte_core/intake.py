"""How a picture comes in: the limits that it is held to, and whom its Content Credentials may be trusted for."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from lte_core.images import DEFAULT_LIMITS, ImageLimits, SourceImage, read_image
from lte_core.provenance import Provenance, read_provenance
from lte_core.settings import Settings, SettingsError

MIB = 2**20
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?(?:-----END CERTIFICATE-----|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Intake:
    """`trust_anchors` are PEM certificates of signers; "" trusts none, and every signer is then unknown."""

    limits: ImageLimits = DEFAULT_LIMITS
    trust_anchors: str = ""

    def read(self, source: Path | bytes) -> SourceImage:
        """Raises ImageError."""
        return read_image(source, self.limits)

    def provenance(self, source: SourceImage) -> Provenance:
        return read_provenance(source, self.trust_anchors)


DEFAULT_INTAKE = Intake()


def read_intake(settings: Settings) -> Intake:
    """As the environment asks. Raises SettingsError for certificates that are not there or are none."""
    limits = ImageLimits(int(settings.max_megabytes * MIB), int(settings.max_megapixels * 1_000_000))
    if settings.trust_anchors is None:
        return Intake(limits)
    try:
        return Intake(limits, _certificates(settings.trust_anchors.read_text(encoding="utf-8", errors="replace")))
    except (OSError, ValueError) as problem:
        raise SettingsError(f"LTE_TRUST_ANCHORS is {settings.trust_anchors}: {problem}. Name a PEM file.") from problem


def _certificates(text: str) -> str:
    """The certificates of a bundle without what is written around them. Raises ValueError for none, or a damaged one:
    c2pa would say so only when a signed picture comes, or not at all."""
    if not (found := _CERTIFICATE.findall(text)):
        raise ValueError("it holds no PEM certificate")
    for number, certificate in enumerate(found, 1):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError) as problem:
            raise ValueError(f"certificate {number} of {len(found)} cannot be read") from problem
    return "\n".join(found)
