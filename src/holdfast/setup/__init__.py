"""Turning stapling on in a server's own configuration, safely."""
