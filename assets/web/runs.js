/* The newest runs beside every page: where each stands, what the window's title says, and word of one that has ended. */
"use strict";

Object.assign(Studio, (() => {
  const { words, make, ask, repeat, fill, score, working, moving, marks, address } = Studio;
  const NEWEST = 12, HIDDEN_EVERY = 5;

  const openRun = () => new URLSearchParams(location.search).get("run");

  function line(run) {
    const status = run.state === "completed" && run.metrics.f1 !== undefined
      ? `${words["metric.f1"]} ${score(run.metrics.f1)}`
      : working(run.state)
        ? `${words[`phase.${run.phase}`] ?? words["state.starting"]} · ${Math.round(run.share_done * 100)} %`
        : words[`state.${run.state}`];
    const entry = make("a", { href: address(run), "data-go": true, class: `run-line ${run.state}${run.id === openRun() ? " open" : ""}`, title: run.name },
      make("span", { class: "mark", text: marks[run.state], "aria-hidden": "true" }),
      make("span", { class: "name", text: run.name }),
      make("span", { class: "status", text: status }));
    if (working(run.state)) entry.append(make("span", { class: "bar" }, make("i", { style: `width:${Math.round(run.share_done * 100)}%` })));
    return entry;
  }

  /** The newest runs beside the page. */
  function sidebar(element) {
    const list = make("nav", { class: "run-list", "aria-label": words["nav.runs"] });
    element.replaceChildren(list);
    const drawer = element.closest(".runs-sidebar");
    // On a narrow window the list is a drawer: it starts closed, so that the page is seen first.
    if (drawer && window.innerWidth < 768) requestAnimationFrame(() => drawer.classList.contains("open") && drawer.querySelector(".toggle-button")?.click());
    let shown = "", hiddenTicks = 0;
    repeat(element, 2000, async () => {
      // A tab that is not seen still has a title, and may have been asked to tell of an end.
      if (document.hidden && hiddenTicks++ % HIDDEN_EVERY) return;
      const { runs, count, at_work: atWork, waiting } = await ask(`api/runs?newest=${NEWEST}`).catch(() => ({ runs: null }));
      if (!runs) return;
      Studio.heard(runs);
      const open = runs.find((run) => run.id === openRun());
      if (open) Studio.title(working(open.state) ? open.share_done : null);
      const now = JSON.stringify([runs, count, atWork, waiting, openRun()]);
      if (now === shown) return;
      shown = now;
      list.replaceChildren(
        ...(runs.length ? runs.map((run) => line(run)) : [make("p", { class: "muted", text: words["nav.no_runs"] })]),
        ...(runs.length ? [make("a", { href: "?step=runs", "data-go": true, class: "all", text: fill(words["nav.all_runs"], { count }) })] : []));
      for (const chip of document.querySelectorAll("[data-running]")) {
        const told = [["header.running", atWork], ["header.waiting", waiting]].filter(([, number]) => number);
        chip.textContent = told.map(([key, number]) => fill(words[key], { count: number })).join(" · ");
        chip.hidden = !told.length;
      }
    }, { hidden: true });
  }

  // -- word of an end, where the browser may give it

  const KEPT = "studio-notify";
  const kept = () => { try { return localStorage.getItem(KEPT) === "yes"; } catch { return false; } };
  const keep = (on) => { try { localStorage.setItem(KEPT, on ? "yes" : "no"); } catch { /* storage is off: asked again after a reload */ } };
  const possible = () => "Notification" in window && window.isSecureContext;
  const notifying = () => possible() && Notification.permission === "granted" && kept();
  const seen = new Map();

  /** Tell of each run that has ended since the last time, if that was asked for. */
  function heard(runs) {
    for (const run of runs) {
      const before = seen.get(run.id);
      seen.set(run.id, run.state);
      if (!before || !moving(before) || moving(run.state) || !notifying()) continue;
      const result = run.metrics.f1 === undefined ? "" : ` · ${words["metric.f1"]} ${score(run.metrics.f1)}`;
      // By its tag, several tabs tell of it once.
      const note = new Notification(run.name, { body: `${words[`state.${run.state}`]}${result}`, tag: run.id, icon: "/studio-assets/icon.svg" });
      note.onclick = () => { window.focus(); Studio.go(address(run)); note.close(); };
    }
  }

  /** The switch for it; null where this browser cannot. */
  function notifySwitch() {
    if (!possible()) return null;
    const button = make("button", { class: "small notify", type: "button", onclick: async () => {
      if (notifying()) keep(false);
      else { keep(true); if (Notification.permission === "default") await Notification.requestPermission(); }
      draw();
    } });
    function draw() {
      const denied = Notification.permission === "denied";
      button.disabled = denied;
      button.setAttribute("aria-pressed", notifying());
      button.textContent = words[notifying() ? "train.notify_on" : "train.notify"];
      button.title = words[denied ? "train.notify_denied" : "train.notify_help"];
    }
    draw();
    return button;
  }

  return { sidebar, heard, notifySwitch };
})());
