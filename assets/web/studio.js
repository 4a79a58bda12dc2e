/* What the pages' live parts share: talking to the server, making elements, showing numbers, going to an address.
   User texts only ever become text nodes. */
"use strict";

const Studio = (() => {
  const language = () => (/\/zh\/?$/.test(location.pathname) ? "zh-CN" : "en");
  /** The words of this page, by key: served as /words.js. */
  const words = new Proxy({}, { get: (_, key) => StudioWords[language()][key] });

  /** An element with classes, text or children: make("p", {class: "muted", text: "…"}, child…). */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") element.textContent = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const parsed = (text) => {
    try { return text ? JSON.parse(text) : null; } catch { return null; }
  };

  /** A fact for people: 21,128, or what stands in a list. */
  const worded = (value) => (typeof value === "number" ? count(value) : Array.isArray(value) ? value.join(language() === "zh-CN" ? "、" : ", ") : value);
  /** The words of a component, with {facts} filled in. */
  const fill = (text, facts = {}) => (text ?? "").replace(/\{(\w+)\}/g, (whole, name) => (Object.hasOwn(facts, name) ? worded(facts[name]) ?? whole : whole));

  const duration = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    const two = (n) => String(n).padStart(2, "0");
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };
  const count = (n) => Number(n).toLocaleString("en-US");
  const score = (n) => (n === null || n === undefined ? "–" : Number(n).toFixed(3));
  /** Bytes for people: 340 MB. */
  const size = (n) => {
    const units = ["B", "kB", "MB", "GB", "TB"], place = n < 1 ? 0 : Math.min(4, Math.floor(Math.log10(n) / 3)), value = n / 1000 ** place;
    return `${place && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[place]}`;
  };
  const rate = (n) => (n >= 100 ? count(Math.round(n)) : Number(n).toPrecision(3));

  /** Ask the server; a worded error is thrown as {what, next}. */
  async function ask(path, { method = "GET", body } = {}) {
    const joined = `${path}${path.includes("?") ? "&" : "?"}lang=${language()}`;
    const options = { method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body) };
    const answer = await fetch(`/${joined}`, options);
    const document = await answer.json();
    if (!answer.ok) throw document.error ?? { what: `HTTP ${answer.status}`, next: "" };
    return document;
  }

  /** Repeat `task` every `everyMs` while `element` is on the page and, unless `hidden`, seen. It returns false to end, or milliseconds to rest. */
  function repeat(element, everyMs, task, { hidden = false } = {}) {
    let busy = false, ended = false, rests = 0;
    const tick = async () => {
      if (ended) return;
      if (!element.isConnected) { ended = true; clearInterval(timer); return; }
      if (busy || Date.now() < rests || (document.hidden && !hidden)) return;
      busy = true;
      try {
        const said = await task();
        if (said === false) { ended = true; clearInterval(timer); } else if (said) rests = Date.now() + said;
      }
      finally { busy = false; }
    };
    const timer = setInterval(tick, everyMs);
    document.addEventListener("visibilitychange", tick);
    tick();
    return () => { ended = true; clearInterval(timer); };
  }

  // -- addresses: the URL says which run and which step are open

  let navigate = () => {};
  // With the path: Gradio's pages have a base of their own, against which a bare query would lose the language.
  const here = (query) => `${location.pathname}${query}`;
  function go(query) {
    history.pushState(null, "", here(query));
    navigate(location.search);
  }
  /** The hidden component that tells the server which address is open. */
  function router(props, trigger, watch) {
    navigate = (query) => { props.value = JSON.stringify({ address: query, at: Date.now() }); trigger(); };
    // The server sends {go: query} to lead somewhere: after an import, after a run was started.
    watch("value", () => { const wish = parsed(props.value); if (wish?.go !== undefined) go(wish.go); });
  }
  // Until the address has been shown once, tabs that appear must not overwrite it.
  let shown = false;
  const ready = () => { shown = true; document.body.classList.add("studio-ready"); showStep(); };
  /** In a narrow window the steps scroll: the open one is to be seen. */
  const showStep = () => document.querySelector(".steps [role=tablist]:not(.visually-hidden) [aria-selected=true]")?.scrollIntoView({ block: "nearest", inline: "center" });
  /** Note in the address which step is open, without loading anything. */
  function step(name) {
    if (!shown) return;
    requestAnimationFrame(showStep);
    const query = new URLSearchParams(location.search);
    if (query.get("step") === name) return;
    query.set("step", name);
    history.replaceState(null, "", here(`?${query}`));
    switchLanguageLinks();
  }
  const inQuery = (name) => new URLSearchParams(location.search).get(name);
  /** Note in the address what a page shows: {name: value}, an empty value takes the name away. */
  function setQuery(values) {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(values)) value ? query.set(name, value) : query.delete(name);
    history.replaceState(null, "", here(`?${query}`));
    switchLanguageLinks();
  }
  /** The window's title: how far the open run is, from 0 to 1; null where none is at work. */
  const title = (share) => { document.title = `${share === null ? "" : `${Math.round(share * 100)} % · `}Studio`; };
  function switchLanguageLinks() {
    for (const link of document.querySelectorAll("a.language"))
      link.href = `${link.dataset.path}${location.search}`;
  }
  document.addEventListener("mousedown", (event) => {
    const link = event.target.closest?.("a[data-go]"); // for a click that opens a tab of its own
    if (link) link.href = here(new URL(link.href).search);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Tab") return;
    // To Gradio it is a key typed into a list of options, which opens it: the list would stay open when its field is left.
    if (event.target.matches?.("input[aria-expanded]")) event.stopPropagation();
    // What is reached by keys comes to stand above the bar that stays in sight, however high that is now.
    const bar = [...document.querySelectorAll(".in-sight, .next-bar")].find((each) => each.offsetHeight && getComputedStyle(each).position === "sticky");
    document.documentElement.style.scrollPaddingBottom = bar ? `${bar.offsetHeight + 12}px` : "";
  }, true);
  window.addEventListener("popstate", () => navigate(location.search));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-go]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      go(new URL(link.href).search);
    }
    const theme = event.target.closest?.("[data-theme-switch]");
    if (theme) {
      const dark = document.body.classList.toggle("dark");
      try { localStorage.setItem("studio-theme", dark ? "dark" : "light"); } catch { /* storage is off: the choice lasts until reload */ }
      document.dispatchEvent(new Event("studio-theme"));
    }
    const goal = event.target.closest?.("[data-step]");
    if (goal) document.getElementById(`step-${goal.dataset.step}-button`)?.click();
    const language = event.target.closest?.("a.language");
    if (language) language.href = `${language.dataset.path}${location.search}`;
  });
  const wanted = new URLSearchParams(location.search).get("__theme") ?? (() => { try { return localStorage.getItem("studio-theme"); } catch { return null; } })();
  if (wanted) new MutationObserver((_, observer) => {
    if (!document.body) return;
    document.body.classList.toggle("dark", wanted === "dark");
    observer.disconnect();
  }).observe(document.documentElement, { childList: true, subtree: true });

  // -- typing: an answer that comes late, or a field that is filled only after it has appeared, takes nothing away

  const TYPED = "input[type=number], textarea, input[data-testid=textbox]";
  let typed = null;
  function keepTyped() {
    if (!typed?.field.isConnected || typed.field.value === typed.value) return;
    typed.field.value = typed.value;
    typed.field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  function watchTyped() {
    keepTyped();
    if (typed?.field.isConnected && document.activeElement === typed.field) requestAnimationFrame(watchTyped);
    else typed = null;
  }
  document.addEventListener("input", ({ target }) => {
    if (!target.matches?.(TYPED) || document.activeElement !== target) return;
    const watched = typed !== null;
    typed = { field: target, value: target.value };
    if (!watched) requestAnimationFrame(watchTyped);
  }, true);
  document.addEventListener("blur", ({ target }) => {
    if (typed?.field !== target) return;
    keepTyped(); // before the page hears of it, and sends what the field holds
    typed = null;
  }, true);
  // A key that sends a line may empty the field.
  document.addEventListener("keydown", ({ key, target }) => { if (key === "Enter" && typed?.field === target) { keepTyped(); typed = null; } }, true);

  // Gradio's text fields tell of keys that write a character alone: not of what is pasted, deleted, or written by an
  // input method, as Chinese is.
  let heard = false;
  for (const [kind, by] of [["keydown", false], ["keypress", true]]) document.addEventListener(kind, () => { heard = by; }, true);
  document.addEventListener("input", ({ target }) => {
    if (!heard && target.matches?.(".gradio-container label :is(textarea, input[type=text])"))
      target.dispatchEvent(new KeyboardEvent("keypress"));
    heard = false;
  });

  // Gradio calls every error "Error", in every language, whatever title it was sent with.
  new MutationObserver(() => {
    for (const { firstChild: name } of document.querySelectorAll(".toast-title.error"))
      if (name?.nodeValue?.trim() === "Error") name.nodeValue = words["error.title"];
  }).observe(document.documentElement, { childList: true, subtree: true });

  /** Names of states that are still moving. */
  const working = (state) => ["starting", "running", "stopping"].includes(state);
  const moving = (state) => state === "queued" || working(state);

  const marks = { queued: "○", cancelled: "–", starting: "●", running: "●", stopping: "●", completed: "✓", stopped: "■", failed: "!", interrupted: "!" };
  /** Where a click on a run leads. */
  const address = (run) => `?run=${run.id}&step=${run.state === "completed" ? "results" : "train"}`;

  return { language, words, make, parsed, fill, duration, count, score, size, rate, ask, repeat, go, router, ready, step, title, inQuery, setQuery, moving, working, marks, address };
})();
