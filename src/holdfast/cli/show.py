"""`holdfast show`: any file of this trade in words.

Law: the text and the JSON document are two prints of the same objects, field by field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.params import INPUT, Input, json_option

if TYPE_CHECKING:
    from holdfast.cli.output import Printer
    from holdfast.pki.pem import Block

SCHEMA = "holdfast.show/1"
FEW = 20  # entries of a CRL that are shown without --all
WIDTH = 22


@click.command()
@click.argument("file", type=INPUT, metavar="FILE")
@click.option("--all", "everything", is_flag=True, help="Every entry of a CRL, however many.")
@json_option
def show(*, file: Input, everything: bool, as_json: bool) -> None:
    """Print an OCSP request, OCSP response, CRL, certificate, chain or PKCS#7 in words.

    The FILE is PEM, DER or base64, told by looking; nothing is judged.
    """
    from holdfast.cli.output import Printer, write_document
    from holdfast.pki import pem

    objects: list[dict[str, Any]] = []
    for block in pem.decode(file.data, name=file.name):
        objects += _objects(block, file.name, most=None if everything else FEW)
    if as_json:
        document: dict[str, Any] = {"schema": SCHEMA, "file": file.name, "objects": objects}
        write_document(document | _chain(file))
        return
    printer = Printer.on()
    for index, words in enumerate(objects):
        if index:
            printer.line()
        kind = str(words.pop("kind"))
        number = f" {index + 1} of {len(objects)}" if len(objects) > 1 else ""
        printer.line(printer.paint(f"{kind}{number}", "bold"))
        _tell(printer, words, "  ")
    for label, value in _chain(file).items():
        printer.line()
        printer.line(f"{printer.paint(label.replace('_', ' '), 'bold')}")
        for line in value:
            printer.line(f"  {line}")


def _objects(block: Block, name: str, *, most: int | None) -> list[dict[str, Any]]:
    from holdfast.cli.params import reading
    from holdfast.errors import OperatorError
    from holdfast.pki.kind import Kind

    place = f"{name}, line {block.line}" if block.line else name
    with reading(place, hint="the file may be cut short or spoiled; fetch it again"):
        match block.kind:
            case Kind.OCSP_RESPONSE:
                from holdfast.cli.words_ocsp import response_words

                return [response_words(block.der)]
            case Kind.OCSP_REQUEST:
                from holdfast.cli.words_ocsp import request_words

                return [request_words(block.der)]
            case Kind.REQUEST:
                from holdfast.cli.words_x509 import csr_words

                return [csr_words(block.der)]
            case Kind.CERTIFICATE | Kind.TRUSTED_CERTIFICATE | Kind.CRL | Kind.PKCS7:
                return _certificates_and_crls(block, place, most=most)
            case Kind.PRIVATE_KEY | Kind.ENCRYPTED_KEY | Kind.PUBLIC_KEY | Kind.PKCS12:
                # what is secret is not printed
                return [{"kind": block.kind.value.split(" ", 1)[1], "bytes": len(block.der)}]
            case Kind.UNKNOWN:
                # one of these parsers says best what is wrong with it
                _explained(block.der)
    raise OperatorError(
        f"{place}: DER that is nothing holdfast knows",
        hint="it shows OCSP requests and responses, CRLs, certificates and PKCS#7 bundles",
    )


def _explained(der: bytes) -> None:
    from holdfast.ocsp.response import Response
    from holdfast.pki.tlv import element

    if element(der, 0, len(der)) is None:  # cut short: any strict reader tells where
        Response.parse(der)


def _certificates_and_crls(block: Block, place: str, *, most: int | None) -> list[dict[str, Any]]:
    from holdfast.cli.words_x509 import certificate_words, crl_words
    from holdfast.pki import pem
    from holdfast.pki.kind import Kind

    data = block.der
    found: list[dict[str, Any]] = []
    if block.kind is not Kind.CRL and _holds(block, Kind.CERTIFICATE):
        found += [certificate_words(c) for c in pem.certificates(data, name=place)]
    if block.kind is Kind.CRL or _holds(block, Kind.CRL):
        found += [crl_words(crl, most=most) for crl in pem.crls(data, name=place)]
    if block.kind is Kind.PKCS7:
        return [{"kind": "PKCS#7 bundle", "objects": len(found)}, *found]
    return found


def _holds(block: Block, kind: object) -> bool:
    """Whether a PKCS#7 bundle holds any `kind`; other blocks do what they are."""
    from holdfast.errors import HoldfastError
    from holdfast.pki import pem
    from holdfast.pki.kind import Kind

    if block.kind is not Kind.PKCS7:
        return kind is Kind.CERTIFICATE
    try:
        return bool(
            pem.certificates(block.der) if kind is Kind.CERTIFICATE else pem.crls(block.der)
        )
    except HoldfastError:
        return False


def _chain(file: Input) -> dict[str, list[str]]:
    """How several certificates hang together."""
    from holdfast.errors import HoldfastError
    from holdfast.pki import pem
    from holdfast.pki.chain import order

    try:
        held = pem.certificates(file.data, name=file.name)
    except HoldfastError:
        return {}
    if len(held) < 2:
        return {}
    ordered = order(held)
    chain = [c.subject for c in ordered.certificates]
    if not ordered.complete:
        chain.append(f"({ordered.certificates[-1].issuer} is not in the file)")
    told = {"chain": chain}
    if ordered.leftover:
        told["not_part_of_the_chain"] = [c.subject for c in ordered.leftover]
    elif ordered.certificates != held:
        told["order"] = ["the file does not have them in this order"]
    return told


def _tell(printer: Printer, words: dict[str, Any], indent: str) -> None:
    for key, value in words.items():
        label = printer.paint(key.replace("_", " ").ljust(WIDTH), "dim")
        if isinstance(value, list) and value and isinstance(value[0], dict):
            printer.line(f"{indent}{label.rstrip()}")
            for one in value:
                _tell_one(printer, one, indent + "  ")
        elif isinstance(value, dict):
            printer.line(f"{indent}{label.rstrip()}")
            _tell(printer, value, indent + "  ")
        else:
            printer.line(f"{indent}{label} {_text(value)}")


def _tell_one(printer: Printer, words: dict[str, Any], indent: str) -> None:
    """An extension in one line, anything else as a group."""
    if "name" in words and "oid" in words:
        name = words["name"] if words["name"] != "not known" else words["oid"]
        critical = " (critical)" if words.get("critical") else ""
        printer.line(f"{indent}{name}{critical}: {_text(words['value'])}")
        return
    printer.line(f"{indent}-")
    _tell(printer, words, indent + "  ")


def _text(value: object) -> str:
    from datetime import datetime

    from holdfast.cli.output import rfc3339

    match value:
        case None:
            return "not told"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return rfc3339(value)
        case list():
            return ", ".join(map(_text, value)) or "none"
        case dict():
            return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
        case _:
            return str(value)
