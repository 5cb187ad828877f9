"""Java options to trust the certificates that Python trusts.

A company's proxy has its certificate in SSL_CERT_FILE.
"""

import os
import ssl
import warnings
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    serialize_java_truststore,
)

# Java wants a password; the store contains public certificates only.
_PASSWORD = "changeit"


def java_options(folder: Path) -> list[str]:
    """Write a trust store into `folder`; return Java's options to use it.

    Empty if Python has no certificates, or if JAVA_TOOL_OPTIONS names a trust store.
    """
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not certificates or "trustStore" in os.environ.get("JAVA_TOOL_OPTIONS", ""):
        return []
    store = folder / "trusted.p12"
    store.write_bytes(trust_store(certificates, password=_PASSWORD))
    return [
        f"-Djavax.net.ssl.trustStore={store}",
        "-Djavax.net.ssl.trustStoreType=PKCS12",
        f"-Djavax.net.ssl.trustStorePassword={_PASSWORD}",
    ]


def trust_store(certificates: list[bytes], *, password: str) -> bytes:
    """Return a Java trust store (PKCS#12) of DER certificates.

    A certificate that does not parse is left out. (keytool would start a JVM for each certificate.)
    """
    entries = []
    for number, der in enumerate(certificates):
        with warnings.catch_warnings():
            # Debian has a root with the serial number 0, which cryptography will refuse one day.
            warnings.simplefilter("ignore")
            try:
                certificate = x509.load_der_x509_certificate(der)
            except ValueError:
                continue
        entries.append(PKCS12Certificate(certificate, f"certificate-{number}".encode()))
    return serialize_java_truststore(entries, BestAvailableEncryption(password.encode()))
