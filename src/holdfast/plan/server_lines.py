"""The lines of each server's configuration: stapling, the chain, the versions of TLS, a reload.

Laws: pure; what is the operator's own stands in capitals and is explained in `BLANKS`. Sources: as
`plan.cures`.
"""

from __future__ import annotations

from holdfast.plan.cure import Edit, Here, Run, Say, Step
from holdfast.plan.software import Kind

BLANKS: dict[str, str] = {
    "CHAIN.pem": "the site's certificate with its chain",
    "KEY.pem": "its private key",
    "ROOT.pem": "the root certificate of its CA",
    "SITE.pem": "the file that `crt` names, certificate, chain and key",
    "RESOLVER": "the address of a name server",
}

OLD_TLS = (  # words of HAProxy that hold it back
    *("no-tlsv12", "no-tlsv13", "force-tlsv10", "force-tlsv11", "force-tlsv12"),
    *("ssl-max-ver TLSv1.0", "ssl-max-ver TLSv1.1", "ssl-max-ver TLSv1.2"),
)
_SCHANNEL = r"HKLM:\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL"


def stapling_by_hand(kind: Kind) -> tuple[Step, ...]:
    """How stapling is turned on without holdfast."""
    reload = tuple(map(Run, reload_words(kind)))
    match kind:
        case "apache":
            return (
                Edit(
                    where="its main configuration, outside of every <VirtualHost>",
                    put=("SSLStaplingCache shmcb:${APACHE_RUN_DIR}/ssl_stapling(128000)",),
                ),
                Edit(
                    where="the <VirtualHost> of the site",
                    out=("SSLStaplingForceURL",),
                    put=(
                        "SSLUseStapling on",
                        "SSLStaplingReturnResponderErrors off",
                        "SSLStaplingFakeTryLater off",
                    ),
                ),
                *reload,
            )
        case "nginx":
            return (
                Edit(
                    where="the server block of the site",
                    out=("ssl_stapling", "ssl_trusted_certificate"),
                    put=(
                        "ssl_stapling on;",
                        "ssl_stapling_verify on;",
                        "ssl_trusted_certificate ROOT.pem;",
                        "resolver RESOLVER;",
                    ),
                ),
                Say(
                    "without ssl_stapling_verify and ssl_trusted_certificate where it verifies "
                    "clients: the root would let in whatever it issued"
                ),
                *reload,
            )
        case "haproxy":
            return (
                Run(("holdfast", "fetch", "SITE.pem", "--out", "SITE.pem.ocsp")),
                *reload,
                Say(
                    "and again before it ends; HAProxy 3.0 and newer renews it by itself, with "
                    "`ocsp-update.mode on` in its section global"
                ),
            )
        case "iis":
            words = (
                "New-ItemProperty", "-Path", _SCHANNEL, "-Name", "EnableOcspStaplingForSni",
                "-PropertyType", "DWord", "-Value", "1", "-Force",
            )  # fmt: skip
            return (Say(f"in an elevated PowerShell: {' '.join(words)}"), *reload)
        case "caddy":
            return (
                Say("Caddy staples by itself wherever the certificate names a responder"),
                Edit(where="the Caddyfile", out=("ocsp_stapling off",)),
                *reload,
            )
        case _:
            return ()


def chain_by_hand(kind: Kind) -> tuple[Step, ...]:
    """Where the saved chain goes."""
    match kind:
        case "apache":
            return (
                Edit(
                    where="the <VirtualHost> of the site",
                    out=("SSLCertificateFile", "SSLCertificateChainFile"),
                    put=("SSLCertificateFile CHAIN.pem",),
                ),
            )
        case "nginx":
            return (
                Edit(
                    where="the server block of the site",
                    out=("ssl_certificate ",),
                    put=("ssl_certificate CHAIN.pem;",),
                ),
            )
        case "haproxy":
            return (Say("put CHAIN.pem, and KEY.pem after it, into the file that `crt` names"),)
        case "iis":
            return (Run(("certutil", "-addstore", "CA", "CHAIN.pem")),)
        case "caddy":
            return (Edit(where="the site's block", out=("tls ",), put=("tls CHAIN.pem KEY.pem",)),)
        case _:
            return ()


def protocols(kind: Kind, here: Here | None) -> list[Step]:
    """TLS 1.3 beside 1.2."""
    file, line = here.block if here is not None and here.block is not None else ("", 0)
    match kind:
        case "apache":
            where = "the <VirtualHost>" if line else "the <VirtualHost> of the site"
            return [
                Edit(
                    where=where,
                    file=file,
                    line=line,
                    out=("SSLProtocol",),
                    put=("SSLProtocol -all +TLSv1.2 +TLSv1.3",),
                )
            ]
        case "nginx":
            where = "the server block" if line else "the server block of the site"
            return [
                Edit(
                    where=where,
                    file=file,
                    line=line,
                    out=("ssl_protocols",),
                    put=("ssl_protocols TLSv1.2 TLSv1.3;",),
                )
            ]
        case "haproxy":
            config = "" if here is None else here.config
            return [
                Edit(
                    where="its configuration, in `bind` lines and ssl-default-bind-options",
                    file=config or ("" if here is None else "/etc/haproxy/haproxy.cfg"),
                    cut=OLD_TLS,
                )
            ]
        case "iis":
            key = rf"{_SCHANNEL}\Protocols\TLS 1.3\Server"
            return [
                Say(
                    "in an elevated PowerShell (Windows Server 2022 and newer): New-Item -Force "
                    f"'{key}'; New-ItemProperty -Force -Path '{key}' -Name Enabled -PropertyType "
                    "DWord -Value 1"
                )
            ]
        case "caddy":
            return [
                Edit(
                    where="the tls block of the site",
                    out=("protocols",),
                    put=("protocols tls1.2 tls1.3",),
                )
            ]
        case _:
            return []


def reload_words(kind: Kind) -> tuple[tuple[str, ...], ...]:
    """What a packaged server is tested and reloaded with."""
    match kind:
        case "apache":
            return ("apachectl", "configtest"), ("systemctl", "reload", "apache2")
        case "nginx":
            return ("nginx", "-t"), ("systemctl", "reload", "nginx")
        case "haproxy":
            config = "/etc/haproxy/haproxy.cfg"
            return ("haproxy", "-c", "-f", config), ("systemctl", "reload", "haproxy")
        case "caddy":
            return (("caddy", "reload", "--config", "/etc/caddy/Caddyfile"),)
        case "iis":
            return (("iisreset",),)
        case _:
            return ()
