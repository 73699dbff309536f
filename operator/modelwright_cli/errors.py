"""What goes wrong, for people."""

from __future__ import annotations


class Fault(Exception):
    """The command cannot do what was asked; the text is one line that names what is wrong, and the next step."""
