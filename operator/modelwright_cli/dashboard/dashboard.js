// What is shown is fetched anew every two seconds, and only what differs is touched: nothing flickers, and the place,
// the focus, what is selected and what was folded open stay. Without scripts the pages are the same, but still.
"use strict";
(() => {
  const root = document.documentElement;
  const THEMES = ["auto", "light", "dark"];
  const SECONDS = 2;
  const MOST_SECONDS = 15;

  function stored() {
    try { return localStorage.getItem("theme"); } catch { return null; }
  }
  function paint(theme) {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
  }
  let theme = THEMES.includes(stored()) ? stored() : "auto";
  paint(theme); // in the head, before anything is drawn

  function key(node) {
    return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id || "" : "";
  }
  function alike(one, other) {
    return one.nodeType === other.nodeType && one.nodeName === other.nodeName && key(one) === key(other);
  }
  function attributes(shown, wanted) {
    for (const { name } of [...shown.attributes]) {
      const folded = name === "open" && shown.nodeName === "DETAILS"; // what the reader did stays
      if (!wanted.hasAttribute(name) && !folded) shown.removeAttribute(name);
    }
    for (const { name, value } of wanted.attributes) {
      if (name === "open" && shown.nodeName === "DETAILS") continue;
      if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
    }
  }
  function morph(shown, wanted) {
    if (shown.nodeType !== Node.ELEMENT_NODE) {
      if (shown.nodeValue !== wanted.nodeValue) shown.nodeValue = wanted.nodeValue;
      return;
    }
    attributes(shown, wanted);
    let at = shown.firstChild;
    for (const child of [...wanted.childNodes]) {
      let same = at;
      if (key(child)) while (same && !alike(same, child)) same = same.nextSibling;
      if (same && alike(same, child)) {
        if (same === at) at = at.nextSibling; else shown.insertBefore(same, at);
        morph(same, child);
      } else if (at && !key(at) && !key(child)) {
        const next = at.nextSibling;
        shown.replaceChild(document.importNode(child, true), at);
        at = next;
      } else {
        shown.insertBefore(document.importNode(child, true), at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  function tell(state, words) {
    document.getElementById("live").className = state;
    const said = document.getElementById("live-said");
    if (said.textContent !== words) said.textContent = words;
  }

  let failures = 0;
  let timer = 0;
  async function refresh() {
    clearTimeout(timer);
    if (!document.hidden) {
      try {
        const answer = await fetch(location.pathname, { credentials: "same-origin", signal: AbortSignal.timeout(30000) });
        if (answer.status === 403) {
          tell("off", "Started anew: open the address that the command printed");
          return;
        }
        const wanted = new DOMParser().parseFromString(await answer.text(), "text/html");
        morph(document.getElementById("content"), wanted.getElementById("content"));
        if (document.title !== wanted.title) document.title = wanted.title;
        failures = 0;
        tell("on", "Live");
      } catch {
        failures += 1;
        tell("off", "The command does not answer");
      }
    }
    timer = setTimeout(refresh, 1000 * Math.min(MOST_SECONDS, SECONDS * (1 + failures)));
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    let said = "Copied";
    try { await navigator.clipboard.writeText(button.dataset.copy); } catch { said = "Select and copy it"; }
    button.textContent = said;
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = { auto: "◐", light: "☀", dark: "☾" }[theme];
      button.setAttribute("aria-label", `Colours: ${theme}`);
      button.title = `Colours: ${theme}`;
    };
    label();
    button.hidden = false;
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try { localStorage.setItem("theme", theme); } catch { /* it lasts as long as the page */ }
      paint(theme);
      label();
    });
    refresh();
  });
})();
