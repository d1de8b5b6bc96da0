"""Signs Content Credentials with certificates made on the spot, for tests of reading them."""

from __future__ import annotations

import datetime as dt
import io
from typing import NamedTuple

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
AI = SOURCE_TYPE + "trainedAlgorithmicMedia"
CAMERA = SOURCE_TYPE + "digitalCapture"


class Studio(NamedTuple):
    """A signer of credentials: its certificate and the root that vouches for it, in PEM, and its key."""

    certificate: str
    root: str
    key: str

    def sign(self, data: bytes, format: str, source_type: str = AI, remote: str | None = None) -> bytes:
        """The picture with a manifest that claims the source type, or with the address of one kept elsewhere."""
        actions = [{"action": "c2pa.created", "digitalSourceType": source_type}]
        builder = c2pa.Builder(
            {
                "claim_generator_info": [{"name": "Test generator\u202e", "version": "1"}],
                "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
            }
        )
        if remote:
            builder.set_no_embed()
            builder.set_remote_url(remote)
        chain = (self.certificate + self.root).encode()
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo("es256", chain, self.key.encode(), None))
        signed = io.BytesIO()
        builder.sign(signer, f"image/{format.lower()}", io.BytesIO(data), signed)
        return signed.getvalue()


def open_studio(name: str = "Test Studio", valid: dt.timedelta = dt.timedelta(days=9)) -> Studio:
    """A root certificate and a signer's below it, of the form that C2PA asks for."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certify(name, f"{name} Root", root_key.public_key(), root_key, valid, authority=True)
    certificate = _certify(name, f"{name} Signer", key.public_key(), root_key, valid, authority=False)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Studio(certificate, root, private)


_NEVER = {
    **{"content_commitment": False, "key_encipherment": False, "data_encipherment": False},
    **{"key_agreement": False, "encipher_only": False, "decipher_only": False},
}


def _certify(
    name: str,
    subject: str,
    public: ec.EllipticCurvePublicKey,
    root_key: ec.EllipticCurvePrivateKey,
    valid: dt.timedelta,
    authority: bool,
) -> str:
    def named(common_name: str) -> x509.Name:
        pairs = [(NameOID.ORGANIZATION_NAME, name), (NameOID.COMMON_NAME, common_name)]
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])

    now = dt.datetime.now(dt.UTC)
    uses = x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **_NEVER)
    builder = (
        x509.CertificateBuilder(named(f"{name} Root"), named(subject), public, x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + valid)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(uses, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(root_key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
