/* The list of runs: short beside every page, whole on its own page. */
"use strict";

Object.assign(Studio, (() => {
  const { words, make, ask, repeat, fill, score, duration, moving, working } = Studio;
  const marks = { queued: "○", cancelled: "–", starting: "●", running: "●", stopping: "●", completed: "✓", stopped: "■", failed: "!", interrupted: "!" };

  const openRun = () => new URLSearchParams(location.search).get("run");
  const address = (run) => `?run=${run.id}&step=${run.state === "completed" ? "results" : "train"}`;

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

  function started(seconds) {
    const when = new Date(seconds * 1000), short = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
    return make("td", { class: "number", title: when.toLocaleString(Studio.language()), text: when.toLocaleString(Studio.language(), short) });
  }

  /** The newest runs beside the page. */
  function sidebar(element) {
    const list = make("nav", { class: "run-list", "aria-label": words["nav.runs"] });
    element.replaceChildren(list);
    const drawer = element.closest(".runs-sidebar");
    // On a narrow window the list is a drawer: it starts closed, so that the page is seen first.
    if (drawer && window.innerWidth < 768) requestAnimationFrame(() => drawer.classList.contains("open") && drawer.querySelector(".toggle-button")?.click());
    let shown = "";
    repeat(element, 2000, async () => {
      const { runs } = await ask("api/runs").catch(() => ({ runs: null }));
      if (!runs) return;
      const now = JSON.stringify([runs.slice(0, 12), openRun()]);
      if (now === shown) return;
      shown = now;
      list.replaceChildren(
        ...(runs.length ? runs.slice(0, 12).map((run) => line(run)) : [make("p", { class: "muted", text: words["nav.no_runs"] })]),
        ...(runs.length ? [make("a", { href: "?step=runs", "data-go": true, class: "all", text: fill(words["nav.all_runs"], { count: runs.length }) })] : []));
      const active = runs.filter((run) => working(run.state)).length;
      for (const chip of document.querySelectorAll("[data-running]")) {
        chip.textContent = active ? fill(words["header.running"], { count: active }) : "";
        chip.hidden = !active;
      }
    });
  }

  /** The page with every run: open, rename, delete. */
  function runsTable(element) {
    const body = make("tbody"), problem = make("p", { class: "problem", role: "alert", hidden: true }), empty = make("p", { class: "empty", text: words["nav.no_runs"], hidden: true });
    const heads = ["state", "name", "data", "model", "metric", "duration", "created", "actions"];
    const table = make("table", { class: "figures runs" }, make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { text: words[`runs.${h}`], scope: "col" })))), body);
    element.replaceChildren(problem, empty, make("div", { class: "scroll" }, table));
    let shown = "", editing = false;

    const failed = (error) => { problem.textContent = `${error.what} ${error.next}`; problem.hidden = false; };
    const change = async (path, options) => {
      problem.hidden = true;
      try { await ask(path, options); } catch (error) { failed(error); }
      editing = false; shown = ""; await refresh();
    };
    function rename(run, cell) {
      editing = true;
      const field = make("input", { type: "text", value: run.name, maxlength: 120, "aria-label": words["runs.rename"] });
      const finish = (save) => (save ? change(`api/runs/${run.id}/name`, { method: "POST", body: { name: field.value } }) : (editing = false, shown = "", refresh()));
      field.addEventListener("keydown", (event) => { if (event.key === "Enter") finish(true); if (event.key === "Escape") finish(false); });
      cell.replaceChildren(field, make("button", { class: "small", text: words["runs.save"], onclick: () => finish(true) }));
      field.focus(); field.select();
    }
    function remove(run, cell) {
      editing = true;
      cell.replaceChildren(
        make("span", { class: "question", text: fill(words["runs.delete_question"], { name: run.name }) }),
        make("button", { class: "small danger", text: words["runs.delete_yes"], onclick: () => change(`api/runs/${run.id}`, { method: "DELETE" }) }),
        make("button", { class: "small", text: words["runs.delete_no"], onclick: () => { editing = false; shown = ""; refresh(); } }));
    }
    function row(run, now) {
      const actions = make("td", { class: "actions" }), name = make("td", { class: "name" });
      name.append(make("a", { href: address(run), "data-go": true, text: run.name }));
      if (run.state === "queued") actions.append(
        make("button", { class: "small", text: words["runs.first"], onclick: () => change(`api/runs/${run.id}/queue?to=0`, { method: "POST" }) }),
        make("button", { class: "small", text: words["train.cancel"], onclick: () => change(`api/runs/${run.id}/stop`, { method: "POST" }) }));
      actions.append(
        make("button", { class: "small", text: words["runs.rename"], onclick: () => rename(run, name) }),
        make("button", { class: "small", text: words["runs.delete"], disabled: moving(run.state), title: moving(run.state) ? words["runs.delete_running"] : null, onclick: () => remove(run, actions) }));
      const ended = run.ended ?? (moving(run.state) ? now : null);
      return make("tr", { "data-run": run.id },
        make("td", {}, make("span", { class: `state ${run.state}`, text: words[`state.${run.state}`] })),
        name, make("td", { class: "text", text: run.data }), make("td", { class: "text", text: run.model === "starter" ? words["model.starter"] : run.model }),
        make("td", { class: "number", text: run.metrics.f1 === undefined ? "–" : `${words["metric.f1"]} ${score(run.metrics.f1)}` }),
        make("td", { class: "number", text: ended ? duration(ended - run.created) : "–" }),
        started(run.created),
        actions);
    }
    async function refresh() {
      if (editing) return;
      const { runs, now } = await ask("api/runs").catch(() => ({ runs: null }));
      if (!runs || editing) return;
      const key = JSON.stringify([runs, runs.some((run) => moving(run.state)) ? Math.round(now) : 0]);
      if (key === shown) return;
      shown = key;
      body.replaceChildren(...runs.map((run) => row(run, now)));
      empty.hidden = runs.length > 0; table.hidden = !runs.length;
    }
    repeat(element, 2000, refresh);
  }

  return { sidebar, runsTable };
})());
