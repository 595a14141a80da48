"""Signatures of artefacts (OpenSSF Model Signing, by key). I/O: `.signatures/` in the artefact store, key files.

A signature covers every file of an artefact by its hash: a byte, a file more or a file less breaks it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flyball.errors import CorruptionError, EnvironmentMissing, InputError, RefusedError
from flyball.storage.artifacts import ArtifactStore


def sign(store: ArtifactStore, name: str, private_key: Path) -> Path:
    """Sign an artefact with an elliptic private key (PEM, no password); where the signature is."""
    folder, target = store.path(name), signature_path(store, name)
    library = _library()
    target.parent.mkdir(exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        library.signing.Config().use_elliptic_key_signer(private_key=private_key).sign(folder, beside)
        beside.replace(target)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{private_key} does not sign: {error}",
            cure="make a key: openssl ecparam -name prime256v1 -genkey -noout -out sign.pem",
        ) from error
    finally:
        beside.unlink(missing_ok=True)
    return target


def check(store: ArtifactStore, name: str, public_keys: Sequence[Path]) -> Path:
    """Which of the keys has signed an artefact as it is now.

    RefusedError where it has no signature or none of these keys made it, CorruptionError where its files changed.
    """
    folder, signature = store.path(name), signature_path(store, name)
    if not signature.is_file():
        raise RefusedError(
            f"model {name[:12]} has no signature, and security.signers asks for one",
            cure=f"flyball models sign {name[:12]} --key sign.pem",
        )
    library, problems = _library(), []
    for key in public_keys:
        try:
            library.verifying.Config().use_elliptic_key_verifier(public_key=key).verify(folder, signature)
            return key
        except FileNotFoundError as error:
            raise EnvironmentMissing(f"there is no public key {key}", cure="fix security.signers") from error
        except Exception as error:
            if str(error).startswith("Signature mismatch"):
                raise CorruptionError(
                    f"model {name[:12]} is not what was signed: {error}",
                    cure="fetch it again, or sign it anew if the change is yours",
                ) from error
            problems.append(f"{key.name}: {error}")
    raise RefusedError(
        f"the signature of model {name[:12]} is not by a key of security.signers ({'; '.join(problems)})",
        cure="sign it with a key of theirs, or add the public key",
    )


def signature_path(store: ArtifactStore, name: str) -> Path:
    """Where the signature of an artefact is, signed or not."""
    return store.root / ".signatures" / f"{name}.sig"


def _library() -> Any:
    try:
        import model_signing  # half a second, and wanted only where models are signed
    except ImportError as error:
        raise EnvironmentMissing(
            f"signatures need a package that is not here: {error}", cure="pip install 'flyball[signing]'"
        ) from error
    return model_signing
