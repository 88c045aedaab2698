// What a reload would do, done at once; and buttons that copy. Everything works without this.
"use strict";

document.documentElement.classList.add("js");

function replaced(section, html) {
  const open = [...section.querySelectorAll("details")].map((one) => one.open);
  section.innerHTML = html;
  section.querySelectorAll("details").forEach((one, number) => { one.open = !!open[number]; });
  section.hidden = html === "";
}

const answer = document.getElementById("answer");
if (answer && answer.dataset.events && window.EventSource) {
  const source = new EventSource(answer.dataset.events);
  source.addEventListener("part", (event) => {
    const part = JSON.parse(event.data);
    const section = document.getElementById(part.name);
    if (section && !section.contains(document.activeElement)) replaced(section, part.html);
    else if (section) {
      section.addEventListener("focusout", () => replaced(section, part.html), { once: true });
    }
  });
  source.addEventListener("end", (event) => {
    source.close();
    document.title = JSON.parse(event.data).title;
    answer.dataset.ended = "yes";
  });
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const codes = [...button.parentElement.querySelectorAll("code")];
  try {
    await navigator.clipboard.writeText(codes.map((code) => code.textContent).join("\n"));
    button.textContent = "Copied";
  } catch {  // no clipboard without https: the text is selected for the keyboard's own copy
    getSelection().selectAllChildren(codes[0]);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});
