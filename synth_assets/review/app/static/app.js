"use strict";
/* Keys, and deciding without loading the page anew. Everything also works without this file, by plain forms. */

(() => {
  const RETRIES = [300, 600, 1200, 2500, 5000, 5000, 10000, 10000, 15000, 15000];
  const RENEW = 4 * 60 * 1000;
  const byId = (id) => document.getElementById(id);
  const desk = () => byId("desk");
  const headers = { "X-Review-Fragment": "1" };
  let busy = false;
  let seen = 0;         // milliseconds this item has been in view
  let since = Date.now();
  let poll = 0;
  let quiet = 0;

  document.documentElement.classList.add("scripted");

  // ---- telling

  function tell(text, forLong = false) {
    clearTimeout(quiet);
    byId("status").textContent = text;
    if (!forLong) quiet = setTimeout(() => { byId("status").textContent = ""; }, 4000);
  }

  function howFar() {
    const words = byId("how-far");
    return words ? words.firstElementChild.textContent : "";
  }

  // ---- getting and sending

  const pause = (time) => new Promise((done) => setTimeout(done, time));

  async function ask(url, options) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const answer = await fetch(url, { ...options, headers, redirect: "follow" });
        if (![429, 500, 502, 503, 504].includes(answer.status)) return answer;
      } catch { /* the server is away: try again below */ }
      if (attempt >= RETRIES.length) return null;
      if (attempt > 0) tell("Not saved yet. Trying again …", true);
      await pause(RETRIES[attempt]);
    }
  }

  async function load(url, options = {}) {
    if (busy) return;
    busy = true;
    clearTimeout(poll);
    desk().setAttribute("aria-busy", "true");
    try {
      const answer = await ask(url, options);
      if (!answer) {
        tell("The server does not answer. Nothing is lost: send it again once it is back.", true);
        return;
      }
      if (answer.status === 401) { window.location.assign("/sign-in"); return; }
      show(await answer.text());
    } finally {
      busy = false;
      desk().removeAttribute("aria-busy");
    }
  }

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("main");
    if (!fresh) { window.location.reload(); return; }
    const before = desk().dataset.item;
    document.adoptNode(fresh);
    fresh.classList.add("fresh");
    desk().replaceWith(fresh);
    if (fresh.dataset.item !== before) { seen = 0; since = Date.now(); }
    window.scrollTo(0, 0);
    arrive();
    if (fresh.dataset.said) tell(`${fresh.dataset.said} ${howFar()}`.trim());
  }

  function arrive() {
    const main = desk();
    const first = main.querySelector("[aria-invalid], [data-edit] textarea, [data-edit] input:not([type=hidden])");
    (first || byId("item-title") || main).focus({ preventScroll: !first });
    if (main.dataset.poll) {
      poll = setTimeout(() => (document.hidden ? arrive() : load("/")), main.dataset.poll * 1000);
    }
  }

  // ---- time in view

  const inView = () => seen + (document.hidden ? 0 : Date.now() - since);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) seen += Date.now() - since;
    since = Date.now();
  });

  setInterval(() => {
    const main = desk();
    const csrf = main.querySelector("[name=csrf]");
    if (!document.hidden && main.dataset.item && csrf) {
      const body = new URLSearchParams({ csrf: csrf.value, example_id: main.dataset.item });
      fetch("/renew", { method: "POST", body, headers }).catch(() => {});
    }
  }, RENEW);

  // ---- forms and links

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-live]")) return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, event.submitter));
    body.set("seconds", (inView() / 1000).toFixed(1));
    changed = false;
    load(form.getAttribute("action"), { method: "POST", body });
  });

  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const opener = event.target.closest("[data-opens]");
    if (opener) byId(opener.dataset.opens).showModal();
    const link = event.target.closest("a[data-live], a[data-verdicts]");
    if (!link) return;
    event.preventDefault();
    if (link.matches("[data-verdicts]")) toggleVerdicts(link);
    else { changed = false; load(link.getAttribute("href")); }
  });

  async function toggleVerdicts(link) {
    const place = byId("verdicts");
    if (!place.firstElementChild) {
      const answer = await ask(link.getAttribute("href"), {});
      const found = answer && new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#verdict-list");
      if (!found) { tell("The verdicts cannot be shown."); return; }
      place.replaceChildren(document.adoptNode(found));
    }
    place.hidden = !place.hidden;
    link.setAttribute("aria-expanded", String(!place.hidden));
    if (!place.hidden) place.querySelector("h2").focus();
  }

  let changed = false;
  document.addEventListener("input", (event) => { if (event.target.closest("[data-edit]")) changed = true; });
  window.addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });

  // ---- keys

  const shortcuts = byId("shortcuts");
  if (shortcuts) {
    shortcuts.checked = localStorage.getItem("shortcuts") !== "off";
    shortcuts.addEventListener("change", () => localStorage.setItem("shortcuts", shortcuts.checked ? "on" : "off"));
  }

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const edit = target.closest("[data-edit]");
    if (edit && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      edit.requestSubmit();
      return;
    }
    const reasons = desk().querySelector("details.reject");
    if (event.key === "Escape" && reasons && reasons.open) {
      reasons.open = false;
      reasons.querySelector("summary").focus();
      return;
    }
    const typing = target.matches("input:not([type=checkbox]), select, textarea");
    const modified = event.ctrlKey || event.metaKey || event.altKey || event.repeat;
    if (typing || modified || document.querySelector("dialog[open]") || !shortcuts || !shortcuts.checked) return;
    const isReason = /^[0-9]$/.test(event.key);
    if (busy || (isReason && !(reasons && reasons.open))) return;
    const key = CSS.escape(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    const control = document.querySelector(`[data-key="${key}"]`);
    if (!control) return;
    event.preventDefault();
    if (control.matches("input")) { control.focus(); return; }
    control.click();
    if (control.matches("summary") && reasons.open) reasons.querySelector(".reasons button").focus();
  });

  byId("item-title")?.focus({ preventScroll: true });
  if (desk().dataset.poll) arrive();
})();
