// Keeps the front page fresh: fetches its changing parts every few seconds while the page is visible.
"use strict";
(() => {
  const source = document.querySelector("[data-live-source]");
  const status = document.querySelector("[data-status]");
  if (!source || !status) return;

  const EVERY_MS = 3000;
  const CHARTS_EVERY_MS = 30000;
  const LOST_AFTER = 3;
  const freshness = status.querySelector("[data-freshness]");
  const button = status.querySelector("[data-pause]");
  let paused = false;
  let failures = 0;
  let chartsAt = Date.now();
  let timer = 0;

  const say = (text, tone) => {
    if (freshness.textContent !== text) freshness.textContent = text;
    status.dataset.tone = tone;
  };

  // Where the keyboard is, in a form that survives the replacement of its element.
  const focusIn = (part) => {
    const focused = document.activeElement;
    if (!part.contains(focused)) return null;
    return [...part.querySelectorAll("a, button, summary, [tabindex]")].indexOf(focused);
  };

  const replacePart = (part, fresh) => {
    if (part.dataset.seen === undefined) part.dataset.seen = "";
    const text = fresh.innerHTML;
    if (part.dataset.seen === text) return;
    part.dataset.seen = text;
    const focused = focusIn(part);
    const open = [...part.querySelectorAll("details")].map((one) => one.open);
    part.replaceChildren(...document.importNode(fresh, true).childNodes);
    part.querySelectorAll("details").forEach((one, place) => { one.open = open[place] ?? one.open; });
    if (focused !== null && focused >= 0) {
      const target = part.querySelectorAll("a, button, summary, [tabindex]")[focused];
      if (target) target.focus({ preventScroll: true });
    }
  };

  const refreshCharts = () => {
    if (Date.now() - chartsAt < CHARTS_EVERY_MS) return;
    chartsAt = Date.now();
    for (const chart of document.querySelectorAll("[data-chart]")) {
      for (const node of chart.children) {
        const attribute = node.localName === "source" ? "srcset" : "src";
        const address = new URL(node.getAttribute(attribute), location.href);
        address.searchParams.set("at", String(Math.floor(chartsAt / CHARTS_EVERY_MS)));
        node.setAttribute(attribute, address.pathname + address.search);
      }
    }
  };

  const refresh = async () => {
    const answer = await fetch(source.dataset.liveSource, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of source.querySelectorAll("[data-live]")) {
      const found = fresh.getElementById(part.id);
      if (found) replacePart(part, found);
    }
    refreshCharts();
  };

  const tick = async () => {
    clearTimeout(timer);
    if (paused || document.hidden) return;
    try {
      await refresh();
      failures = 0;
      say("Live", "ok");
    } catch {
      failures += 1;
      if (failures >= LOST_AFTER) say("No connection", "bad");
    }
    clearTimeout(timer);
    timer = setTimeout(tick, Number(source.dataset.every) || EVERY_MS);
  };

  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Resume" : "Pause";
    say(paused ? "Paused" : "Live", paused ? "idle" : "ok");
    tick();
  });
  document.addEventListener("visibilitychange", tick);
  status.hidden = false;
  say("Live", "ok");
  timer = setTimeout(tick, EVERY_MS);
})();
