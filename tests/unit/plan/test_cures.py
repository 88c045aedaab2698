"""Which cure a finding gets, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.ocsp.findings import RULES, finding
from holdfast.plan.cure import CertificateFile, Cure, Edit, Here, Run, Say, ServerSeen
from holdfast.plan.cures import BAD_STAPLE, CERTIFICATE, CHAIN, NO_STAPLE, VERSION, Case, cures
from holdfast.plan.report import ResponderReport
from holdfast.plan.software import Kind, Software
from support.reports import SITE, a_missing, an_expired

KINDS: tuple[Kind, ...] = ("apache", "nginx", "haproxy", "iis", "caddy")
FILE = CertificateFile(path="/srv/www.pem", at=("/etc/site.conf", 7))


def seen(kind: Kind, **more: object) -> ServerSeen:
    return ServerSeen(software=Software(name=kind), **more)  # type: ignore[arg-type]


def here(kind: Kind, **more: object) -> ServerSeen:
    found = Here(
        kind=kind,
        pid=7,
        reload=("kill", "-HUP", "7"),
        block=("/etc/site.conf", 3),
        site="www",
        files=(FILE,),
    )
    return seen(kind, here=replace(found, **more))  # type: ignore[arg-type]


def of(code: str, server: ServerSeen, **more: object) -> tuple[Cure, ...]:
    case = Case(target="www.example.com", server=server, **more)  # type: ignore[arg-type]
    return cures([finding(code)], case).get(code, ())


def commands(cure: Cure) -> list[str]:
    return [" ".join(step.words) for step in cure.steps if isinstance(step, Run)]


def test_every_code_of_the_table_is_one_that_there_is() -> None:
    assert set(RULES) >= (NO_STAPLE | BAD_STAPLE | CHAIN | VERSION | CERTIFICATE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", sorted(NO_STAPLE | BAD_STAPLE | CHAIN | VERSION))
def test_each_of_them_has_a_patch_for_each_server(kind: Kind, code: str) -> None:
    (cure,) = of(code, seen(kind))
    assert cure.server == kind
    assert cure.steps or cure.by_hand
    capitals = {"CHAIN.pem", "KEY.pem", "ROOT.pem", "SITE.pem", "RESOLVER", "ISSUER.crt"}
    text = "\n".join(cure.lines())
    assert {name for name in capitals if name in text} == {name for name, _ in cure.blanks}


def test_a_server_of_another_machine_gets_the_lines_too() -> None:
    (nginx,) = of("staple-missing", seen("nginx"))
    assert commands(nginx) == ["holdfast setup nginx --mend"]
    puts = [line for step in nginx.by_hand if isinstance(step, Edit) for line in step.put]
    assert "ssl_stapling on;" in puts
    (iis,) = of("staple-missing", seen("iis"))
    assert any("EnableOcspStaplingForSni" in line for line in iis.lines())


def test_a_server_of_this_machine_gets_its_own_paths() -> None:
    server = here("nginx", config="/srv/nginx.conf")
    server = replace(server, issuers="/srv/root.pem")
    (cure,) = of("staple-missing", server)
    wanted = (
        "holdfast setup nginx --config /srv/nginx.conf --site www --issuer /srv/root.pem --mend"
    )
    assert commands(cure) == [wanted]
    assert not cure.by_hand


def test_an_unknown_server_gets_the_short_set() -> None:
    found = of("staple-missing", seen("unknown"))
    assert [cure.server for cure in found] == list(KINDS)
    assert commands(found[0]) == ["holdfast setup apache --mend"]
    assert not found[0].by_hand


def test_a_bad_staple_is_the_servers_fault_where_the_responder_has_better() -> None:
    bad = replace_verdict(valid=False)
    assert of("staple-expired", seen("nginx"), responders=(bad,)) == ()
    assert of("staple-expired", seen("nginx"), responders=())
    assert of("staple-missing", seen("nginx"), responders=(bad,)), "it is to be turned on anyway"


def replace_verdict(*, valid: bool) -> ResponderReport:
    verdict = an_expired().staples[0].verdict
    assert verdict is not None
    assert verdict.valid is valid
    return ResponderReport("http://ocsp.example/", SITE.certificate, True, 1.0, verdict, ())


def test_a_bad_staple_is_forgotten_before_it_is_looked_at_again() -> None:
    (cure,) = of("staple-expired", here("apache"))
    assert commands(cure)[0] == "kill -HUP 7"
    assert commands(cure)[1].startswith("holdfast setup apache")


def test_a_line_that_names_another_responder_goes_unless_it_is_the_keepers() -> None:
    (cure,) = of("staple-missing", here("apache", stapling="mod_ssl, asking http://192.0.2.1/"))
    assert cure.steps[0] == Edit(
        file="/etc/site.conf", line=3, where="the <VirtualHost>", out=("SSLStaplingForceURL",)
    )
    relay = here("apache", stapling="mod_ssl, asking http://127.0.0.1:9120/ocsp")
    (cure,) = of("staple-missing", relay)
    assert not [step for step in cure.steps if isinstance(step, Edit)]


def test_a_key_beside_the_chain_is_never_lost() -> None:
    """`holdfast bundle` writes certificates alone."""
    both = replace(FILE, key_inside=True)
    (haproxy,) = of("chain-incomplete", here("haproxy", files=(both,)))
    assert commands(haproxy)[0] == "openssl pkey -in /srv/www.pem -out /srv/www.pem.key"
    for kind in ("nginx", "apache"):
        (cure,) = of("chain-incomplete", here(kind, files=(both,)))  # type: ignore[arg-type]
        assert all(not line.endswith("-o /srv/www.pem") for line in commands(cure))
        (edit,) = [step for step in cure.steps if isinstance(step, Edit)]
        assert edit.instead
        assert "/srv/www.pem.chain.pem" in edit.put[0]


def test_a_certificate_is_renewed_where_it_is_known_how() -> None:
    assert of("certificate-expired", seen("nginx")) == ()
    live = replace(FILE, path="/etc/letsencrypt/live/www.example.com/fullchain.pem")
    (cure,) = of("certificate-expired", here("nginx", files=(live,)))
    assert commands(cure)[0] == "certbot renew --cert-name www.example.com --force-renewal"
    (cure,) = of("certificate-expired", here("nginx", files=(replace(FILE, renewed=True),)))
    assert commands(cure) == ["kill -HUP 7"]
    (cure,) = of("certificate-expired", here("nginx"))
    assert isinstance(cure.steps[0], Say)
    assert "/srv/www.pem" in cure.steps[0].text


def test_what_no_server_can_mend_gets_no_patch() -> None:
    for code in ("responder-invalid-response", "crl-expired", "staple-no-next-update"):
        assert of(code, seen("nginx")) == ()


def test_a_targets_name_cannot_add_a_command() -> None:
    case = Case(target="x; rm -rf ~", server=seen("nginx"))
    text = "\n".join(
        cures([finding("chain-incomplete", how="")], case)["chain-incomplete"][0].lines()
    )
    assert "$ holdfast check 'x; rm -rf ~' --save-chain CHAIN.pem" in text


def test_a_report_without_a_look_at_the_server_says_nothing_of_it() -> None:
    shown = a_missing().as_json()
    assert shown["server"] is None
    assert all(one["cures"] == [] for one in shown["findings"])  # type: ignore[attr-defined]
