"""All of OCSP stapling on one loopback, with real TLS: what `holdfast demo` shows."""
