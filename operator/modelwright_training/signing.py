"""Signing what is published, with the key that is mounted into the stage that publishes alone."""

from modelwright_server import signature
from modelwright_server.artifact import Manifest
from modelwright_training.contract import KEY_FILE, Reason
from modelwright_training.errors import StageError
from modelwright_training.log import logger
from modelwright_training.settings import Settings

_MAX_KEY_BYTES = 16 << 10


def sign(settings: Settings, manifest: Manifest) -> bytes | None:
    """Return the artifact's signature; None where the job asks for none.

    Raises:
        StageError: SigningKeyInvalid.

    """
    secret = settings.job.signing
    if secret is None:
        return None
    try:
        with (settings.signing / KEY_FILE).open("rb") as key:
            data, identity = signature.sign(manifest, key.read(_MAX_KEY_BYTES))
    except FileNotFoundError:
        message = f"there is no Secret {secret} in this namespace, or no {KEY_FILE} in it; see docs/signing.md"
        raise StageError(Reason.SIGNING_KEY_INVALID, message) from None
    except (OSError, ValueError) as error:
        message = f"{KEY_FILE} of Secret {secret} cannot be used: it {error}"
        raise StageError(Reason.SIGNING_KEY_INVALID, message) from None
    logger.info("signed with key %s", identity)
    return data
