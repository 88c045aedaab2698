"""Profiles: what each of them makes a note (V2, V3)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from holdfast.ocsp.findings import NOTE, RULES, Profile
from holdfast.ocsp.policy import STRICT, Policy

SOFTENED = {"response-no-next-update", "response-window-too-long"}


def test_strict_is_the_default_and_the_table() -> None:
    assert Policy(profile=Profile.STRICT, skew=timedelta(minutes=5)) == STRICT
    assert not STRICT.allow_sha1
    for code, rule in RULES.items():
        assert STRICT.severity(code) is rule.severity


@pytest.mark.parametrize("profile", [Profile.RFC6960, Profile.BROWSER])
def test_the_others_soften_two_rows_and_no_more(profile: Profile) -> None:
    policy = Policy(profile=profile)
    for code, rule in RULES.items():
        twin = "response-" + code[7:] if code.startswith("staple-") else code
        assert policy.severity(twin) is (NOTE if twin in SOFTENED else rule.severity)


def test_profiles_have_the_names_of_the_command_line() -> None:
    assert [profile.value for profile in Profile] == ["strict", "rfc6960", "browser"]
