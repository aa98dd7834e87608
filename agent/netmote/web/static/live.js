// Live refresh: fetches this same page and swaps <main>, so that what the server renders stays the only truth.
// Without this script the page is whole and has a link to reload it.
"use strict";
(() => {
  const EVERY_MS = 5000;
  const main = () => document.querySelector("main");
  const state = document.querySelector("#live");
  const button = document.querySelector("#live-toggle");
  if (!state || !button) return;
  let timer = 0;
  let paused = sessionStorage.getItem("paused") === "yes";

  const say = (text, kind) => {
    if (state.textContent !== text) state.textContent = text;
    state.dataset.kind = kind;
  };
  const keep = (fresh) => {
    for (const details of document.querySelectorAll("details[id]")) {
      const twin = fresh.querySelector(`#${CSS.escape(details.id)}`);
      if (twin) twin.open = details.open;
    }
  };
  const refresh = async () => {
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS) });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main");
      // A reader who selects text or stands on a link keeps what he has until he lets go.
      const busy = main().contains(document.activeElement) || String(getSelection() || "") !== "";
      if (fresh && !busy) {
        keep(fresh);
        main().replaceWith(document.adoptNode(fresh));
        document.title = page.title;
      }
      say(busy ? "waiting" : "live", busy ? "wait" : "live");
    } catch {
      say("no answer", "lost");
    }
    plan();
  };
  const plan = () => {
    clearTimeout(timer);
    if (!paused && !document.hidden) timer = setTimeout(refresh, EVERY_MS);
  };
  const show = () => {
    button.textContent = paused ? "Resume" : "Pause";
    say(paused ? "paused" : "live", paused ? "wait" : "live");
    plan();
  };
  button.addEventListener("click", () => {
    paused = !paused;
    sessionStorage.setItem("paused", paused ? "yes" : "no");
    show();
    if (!paused) { button.blur(); refresh(); }
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) refresh(); });
  document.documentElement.classList.add("scripted");
  show();
})();
