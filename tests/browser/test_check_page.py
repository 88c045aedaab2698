"""The page in Chromium, before nginx: by keyboard, without scripts, on a phone, in the dark."""

from __future__ import annotations

import re

import pytest

from support.browser import Blocking, Tab, World, expect
from support.web_world import CASES

SAYS = {
    "good": r"Good\. Stapling on good\.test:\d+ is right: its staple says good, 1 h",
    "expired": r"Bad\. Stapling on expired\.test:\d+ is wrong: the staple ended at .* ago",
    "revoked": r"Bad\. Stapling on revoked\.test:\d+ is wrong: the certificate was revoked",
    "missing": r"Works, with warnings\. missing\.test:\d+ works, but no staple was",
    "must-staple": r"Bad\. Stapling on must-staple\.test:\d+ is wrong: .*must-staple",
}


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_and_its_pictures(tab: Tab, case: str) -> None:
    tab.check(case)
    assert re.match(SAYS[case], tab.verdict), tab.verdict
    expect(tab.page).to_have_title(re.compile(rf"^{tab.verdict.split('.')[0]}: {case}.test"))
    pictures = tab.page.get_by_role("img")
    shown = [str(one.get_attribute("aria-label")) for one in pictures.all()]
    assert any(label.startswith(f"Chain: {case}.test") for label in shown)
    assert any("after" in label for label in shown)  # the responder
    stapled = case in ("good", "expired", "revoked")
    assert any("old" in label or "ended" in label for label in shown) is stapled
    assert case == "good" or tab.page.locator("#findings li").count() >= 1
    tab.shot(case)


def test_the_answer_grows_as_it_comes(tab: Tab, world: World) -> None:
    """The staple is there while the responder is waited for; and nothing is loaded again."""
    tab.page.goto(f"{tab.url}/")
    tab.page.get_by_label("Host").fill(world.target("slow"))
    tab.page.get_by_role("button", name="Check").click()
    expect(tab.page.locator("#staples svg")).to_be_visible()
    expect(tab.page.locator("#handshakes tbody tr").nth(1)).to_contain_text("TLSv1.3")
    tab.page.evaluate("window.stayed = true")
    expect(tab.page.locator(".verdict.running")).to_contain_text("under way")
    expect(tab.page.locator("#responders")).to_be_hidden()
    tab.shot("growing")
    world.waiting.let()
    tab.answered()
    expect(tab.page.locator("#responders")).to_contain_text("says good")
    assert tab.page.evaluate("window.stayed") is True
    assert re.match(r"Good\.|Works, with warnings\. .* took \d+ ms to answer", tab.verdict)


def test_others_open_the_link(browser: Blocking, world: World, tab: Tab) -> None:
    with Tab(browser, world) as second:
        tab.check("good")
        link = tab.page.get_by_role("link", name="Link to this answer")
        second.page.goto(f"{second.url}{link.get_attribute('href')}")
        assert second.verdict == tab.verdict
        second.page.get_by_role("link", name=re.compile("history of")).click()
        expect(second.page.get_by_role("heading", level=1)).to_contain_text("History of good.test")
        assert second.page.locator("circle.check").count() >= 1
        second.shot("history")


def test_by_keyboard_alone(browser: Blocking, world: World) -> None:
    with Tab(browser, world, permissions=["clipboard-read", "clipboard-write"]) as tab:
        keys = tab.page.keyboard
        tab.page.goto(f"{tab.url}/")
        expect(tab.page.get_by_label("Host")).to_be_focused()
        keys.type(world.target("expired"))
        keys.press("Enter")
        tab.answered()
        seen = []
        for _ in range(40):
            keys.press("Tab")
            focused = tab.page.evaluate(
                """() => { const e = document.activeElement, s = getComputedStyle(e);
                return [e.tagName, (e.innerText || e.name || '').trim(), s.outlineStyle,
                        s.outlineWidth]; }"""
            )
            seen.append(focused)
            if focused[0] == "BODY":
                break
            assert focused[2] == "solid", focused  # one sees where one is
            assert focused[3] == "3px", focused
            if focused[0] == "SUMMARY" and focused[1] == "All that it says":
                keys.press("Enter")
                expect(tab.page.locator("#staples details")).to_have_attribute("open", "")
            if focused[1] == "Copy":
                code = tab.page.evaluate(
                    "document.activeElement.parentElement.querySelector('code').textContent"
                )
                keys.press("Space")
                expect(tab.page.get_by_role("button", name="Copied").first).to_be_visible()
                assert tab.page.evaluate("navigator.clipboard.readText()").startswith(code)
        texts = [text for _, text, *_ in seen]
        assert texts[0] == "To the content"
        assert "Check" in texts
        assert "as JSON" in texts
        assert "Copy" in texts
        findings = next(text for text in texts if "what to do" in text)
        tab.page.get_by_role("link", name=findings).press("Enter")
        assert tab.page.url.endswith("#findings")


def test_without_scripts_it_reloads_itself(browser: Blocking, world: World) -> None:
    with Tab(browser, world, java_script_enabled=False) as tab:
        tab.check("revoked")
        assert re.match(SAYS["revoked"], tab.verdict)
        expect(tab.page.locator("#findings li").first).to_be_visible()
        copying = tab.page.get_by_role("button", name="Copy")
        expect(copying).to_have_count(0)  # none that does nothing
        tab.page.get_by_text("All that it says").click()
        expect(tab.page.locator("#staples dl").first).to_be_visible()
        tab.shot("without-scripts")


PHONE = {"width": 360, "height": 740}


def test_on_a_phone_nothing_is_cut_off(browser: Blocking, world: World) -> None:
    with Tab(browser, world, viewport=PHONE, has_touch=True, is_mobile=True) as tab:
        tab.page.goto(f"{tab.url}/")
        for step in ("home", "answer", "history"):
            if step == "answer":
                tab.check("expired")
                for one in tab.page.locator("summary").all():
                    one.click()
            if step == "history":
                tab.shot("phone")
                tab.page.get_by_role("link", name=re.compile("history of")).click()
            wide = tab.page.evaluate("document.scrollingElement.scrollWidth")
            assert wide <= PHONE["width"], step
        # text in the picture of the chain is not shrunk below what is read
        tab.page.go_back()
        sizes = tab.page.eval_on_selector_all(
            ".chain text", "all => all.map((one) => one.getBoundingClientRect().height)"
        )
        assert sizes
        assert min(sizes) >= 12


# Every text against the first background behind it, by WCAG 2.2's formula
CONTRAST = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = numbers(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return numbers(getComputedStyle(document.documentElement).backgroundColor);
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), svg = e.closest("svg");
    const box = svg && e.parentElement.querySelector("rect");
    const front = light(numbers(svg ? style.fill : style.color));
    const back = light(box ? numbers(getComputedStyle(box).fill) : behind(e));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < 4.5) found.push(`${e.tagName} ${e.className} ${e.textContent.trim()}: ${ratio}`);
  }
  return found;
}"""


def test_all_text_is_read_in_light_and_dark(tab: Tab) -> None:
    """WCAG 2.2 1.4.3; and the twin: a page with faint text is caught."""
    for case in ("revoked", "missing"):
        tab.check(case)
        for scheme in ("dark", "light"):
            tab.page.emulate_media(color_scheme=scheme)
            assert tab.page.evaluate(CONTRAST) == []
            ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 150) is (scheme == "dark")
            if scheme == "dark":
                tab.shot(f"{case}-dark")
    tab.page.evaluate("document.querySelector('.verdict').style.setProperty('color', '#888')")
    assert tab.page.evaluate(CONTRAST) != []


def test_what_a_screen_reader_is_told(tab: Tab) -> None:
    tab.check("revoked")
    told = tab.page.locator("body").aria_snapshot()
    tab.page.goto(f"{tab.url}/?target=gopher%3A%2F%2Fx")
    tab.page.get_by_role("button", name="Check").click()
    wrong = tab.page.locator("body").aria_snapshot()
    assert re.search(r"status:\s+- paragraph:\s+- strong: Bad\.\s+- text: \"?Stapling on", told)
    for heading in ("Staple", "Certificate and chain", "Handshakes", "What clients do"):
        assert f'- heading "{heading}" [level=2]' in told
        assert f'- region "{heading}"' in told
    assert re.search(r'img "1 h .* old, 1 % of its time has passed', told)
    assert "columnheader" in told
    assert 'textbox "Host"' in told
    assert "banner:" in told
    assert "main:" in told
    assert "contentinfo:" in told
    assert re.search(r"alert: .*scheme 'gopher' is not known", wrong)
