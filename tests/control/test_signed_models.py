"""An engine starts only on a model that a known key has signed, and as it was signed."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from control_shop import Shop, passes
from flyball.storage.deployments import history
from flyball.storage.signatures import sign


def test_without_a_signature_nothing_starts_and_with_one_it_goes_live(shop: Shop, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "sign.pem", tmp_path / "sign.pub"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    release = shop.release("signed?")
    context = shop.control()
    context.signers = (public,)
    refused = shop.deploy(release)
    passes(context, lambda: "failed" in shop.states(refused))
    assert "no signature, and security.signers asks for one" in str(history(shop.ledger, refused.id)[-1][0].evidence)
    assert shop.live() is None

    (model,) = shop.store.names()
    sign(shop.store, model, private)
    again = shop.control()
    again.signers = (public,)
    shop.deploy(release)
    passes(again, lambda: shop.live() == release)

    path = shop.store.path(model) / "model.gguf"
    data = bytearray(path.read_bytes())
    path.unlink()
    data[-1] ^= 1
    path.write_bytes(data)
    changed = shop.control()
    changed.signers = (public,)
    later = shop.deploy(shop.release("later"))
    passes(changed, lambda: "failed" in shop.states(later))
    assert "model.gguf" in str(history(shop.ledger, later.id)[-1][0].evidence) and shop.live() == release
