"""Where the other sidecars of a Deployment are."""

import socket


def by_name(service: str) -> list[str]:
    """Return the addresses behind a headless Service's name.

    Raises:
        OSError: it has none, or nobody can say.
    """
    return [str(item[4][0]) for item in socket.getaddrinfo(service, None, type=socket.SOCK_STREAM)]
