/* The list of every run: finding, sorting, tags and notes, choosing some to compare, and the trash. */
"use strict";

Object.assign(Studio, (() => {
  const { words, make, ask, repeat, fill, score, duration, size, count, moving, address, inQuery, setQuery } = Studio;
  const MOST_COMPARED = 8;
  const COLUMNS = [["state"], ["name"], ["data", "model"], ["metric"], ["duration", "disk"], ["created"]]; // a cell may hold two things
  const STATES = ["completed", "running", "queued", "stopped", "failed", "interrupted", "cancelled"];

  const modelName = (run) => (run.model === "starter" ? words["model.starter"] : run.model);
  // Of a folder the end: what it begins with is the same in all of them, and alone would be seen in a narrow column.
  const shortModel = (run) => { const name = modelName(run); return /^([/~]|[A-Za-z]:)/.test(name) ? `…/${name.split(/[\\/]/).filter(Boolean).at(-1)}` : name; };
  const VALUES = {
    state: (run) => words[`state.${run.state}`], name: (run) => run.name, data: (run) => run.data, model: modelName, metric: (run) => run.metrics.f1 ?? -1,
    duration: (run) => run.worked_s, disk: (run) => run.disk_bytes, created: (run) => run.created,
  };

  function sorted(runs, order) {
    const column = order.replace("-", ""), value = VALUES[column] ?? VALUES.created, sign = order.startsWith("-") ? -1 : 1;
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, Studio.language()) : a - b);
    return [...runs].sort((one, other) => sign * compare(value(one), value(other)) || (one.id < other.id ? 1 : -1));
  }

  /** Whether every word that is looked for stands somewhere in what is told of the run. */
  function matches(run, find, state) {
    const group = ["starting", "stopping"].includes(run.state) ? "running" : run.state;
    if (state && group !== state) return false;
    const told = [run.name, run.data, modelName(run), run.notes, ...run.tags].join("\n").toLowerCase();
    return find.toLowerCase().split(/\s+/).every((word) => told.includes(word));
  }

  function started(seconds) {
    const when = new Date(seconds * 1000), short = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    return make("td", { class: "number began", title: when.toLocaleString(Studio.language()), text: when.toLocaleString(Studio.language(), short) });
  }

  /** The page with every run. */
  function runsTable(element) {
    const body = make("tbody"), problem = make("p", { class: "problem", role: "alert", hidden: true }), said = make("p", { class: "banner slim", role: "status", hidden: true });
    const empty = make("div", { class: "empty-state", hidden: true }, make("h3", { text: words["nav.no_runs"] }), make("p", { text: words["nav.no_runs_help"] }),
      make("a", { href: "?step=data", "data-go": true, class: "button primary", text: words["nav.new_run"] })), none = make("p", { class: "empty", text: words["runs.none_found"], hidden: true });
    const chosen = new Set((inQuery("compare") ?? "").split(",").filter(Boolean));
    let shown = "", editing = false, known = null;

    const order = () => inQuery("sort") ?? "-created";
    const sorters = Object.fromEntries(COLUMNS.flat().map((name) => [name, make("button", { type: "button", class: "sort", text: words[`runs.${name}`], onclick: () => {
      const first = ["name", "data", "model", "state"].includes(name) ? name : `-${name}`, other = first === name ? `-${name}` : name;
      setQuery({ sort: order() === first ? other : first }); draw(true);
    } })]));
    const heads = COLUMNS.map((names) => make("th", { scope: "col" }, ...names.map((name) => sorters[name])));
    const table = make("table", { class: "figures runs" }, make("thead", {}, make("tr", {}, make("th", { "aria-label": words["runs.choose"] }), ...heads, make("th"))), body);

    const find = make("input", { type: "search", class: "find", value: inQuery("find") ?? "", placeholder: words["runs.find"], "aria-label": words["runs.find"], oninput: () => { setQuery({ find: find.value }); draw(true); } });
    const state = make("select", { "aria-label": words["runs.state"], onchange: () => { setQuery({ state: state.value }); draw(true); } },
      make("option", { value: "", text: words["runs.any_state"] }), ...STATES.map((name) => make("option", { value: name, text: words[`state.${name}`] })));
    state.value = STATES.includes(inQuery("state")) ? inQuery("state") : "";
    const compare = make("button", { type: "button", class: "button", onclick: () => { setQuery({ compare: [...chosen].join(",") }); compared.show([...chosen]); } });
    const total = make("span", { class: "muted total" });
    const tools = make("div", { class: "tools" }, find, state, compare, make("span", { class: "grow" }), total);
    const compared = Studio.comparison(() => setQuery({ compare: "" })), trash = trashBox(() => { shown = ""; refresh(); }, (error) => failed(error));
    element.replaceChildren(problem, said, compared.node, tools, empty, none, make("div", { class: "scroll" }, table), trash.node);

    const failed = (error) => { problem.textContent = `${error.what} ${error.next}`; problem.hidden = false; };
    const change = async (path, options) => {
      problem.hidden = true;
      let answer = null;
      try { answer = await ask(path, options); } catch (error) { failed(error); }
      editing = false; shown = ""; await refresh();
      return answer;
    };
    const leave = () => { editing = false; shown = ""; refresh(); };

    /** Name, tags and notes in fields, in place of the row's name. */
    function edit(run, cell) {
      editing = true;
      const name = make("input", { type: "text", value: run.name, maxlength: 120, "aria-label": words["runs.name"] });
      const tags = make("input", { type: "text", value: run.tags.join(", "), maxlength: 900, placeholder: words["runs.tags_help"], "aria-label": words["runs.tags"] });
      const notes = make("textarea", { rows: 3, maxlength: 4000, placeholder: words["runs.notes"], "aria-label": words["runs.notes"] });
      notes.value = run.notes;
      const save = async () => {
        const body = { tags: tags.value.split(/[,，]/), notes: notes.value };
        problem.hidden = true;
        try { // what does not hold stays in the fields
          if (name.value !== run.name) await ask(`api/runs/${run.id}/name`, { method: "POST", body: { name: name.value } });
          await ask(`api/runs/${run.id}/remarks`, { method: "POST", body });
        } catch (error) { failed(error); return; }
        leave();
      };
      for (const field of [name, tags]) field.addEventListener("keydown", (event) => { if (event.key === "Enter") save(); });
      const form = make("div", { class: "edit", onkeydown: (event) => { if (event.key === "Escape") leave(); } }, name, tags, notes,
        make("div", {}, make("button", { class: "small primary", type: "button", text: words["runs.save"], onclick: save }), make("button", { class: "small", type: "button", text: words["runs.cancel"], onclick: leave })));
      cell.replaceChildren(form);
      name.focus(); name.select();
    }

    async function remove(run) {
      const answer = await change(`api/runs/${run.id}`, { method: "DELETE" });
      if (!answer) return;
      chosen.delete(run.id);
      said.replaceChildren(make("span", { text: fill(words["runs.deleted"], { name: run.name }) }),
        make("button", { class: "small", type: "button", text: words["runs.undo"], onclick: async () => { said.hidden = true; await change(`api/trash/${run.id}/restore`, { method: "POST" }); trash.refresh(); } }));
      said.hidden = false;
      trash.refresh();
    }

    function row(run) {
      const actions = make("td", { class: "actions" }), name = make("td", { class: "name" });
      const box = make("input", { type: "checkbox", checked: chosen.has(run.id), "aria-label": fill(words["runs.choose_one"], { name: run.name }), onchange: () => { box.checked ? chosen.add(run.id) : chosen.delete(run.id); drawCompare(); } });
      name.append(make("a", { href: address(run), "data-go": true, text: run.name, title: run.name }));
      for (const tag of run.tags) name.append(make("button", { type: "button", class: "tag", text: tag, onclick: () => { find.value = tag; setQuery({ find: tag }); draw(true); } }));
      if (run.notes) name.append(make("p", { class: "muted noted", text: run.notes, title: run.notes }));
      const place = known.queue.indexOf(run.id) + 1; // from 1; 0 where it does not wait
      if (run.state === "queued") actions.append(make("div", {},
        make("button", { class: "small", text: words["runs.first"], disabled: place === 1, onclick: () => change(`api/runs/${run.id}/queue?to=0`, { method: "POST" }) }),
        make("button", { class: "small", text: words["train.cancel"], onclick: () => change(`api/runs/${run.id}/stop`, { method: "POST" }) })));
      actions.append(
        make("button", { class: "small", text: words["runs.edit"], onclick: () => edit(run, name) }),
        make("a", { class: "button small", href: `?run=${run.id}&step=model`, "data-go": true, text: words["runs.clone"], title: words["runs.clone_help"] }),
        make("button", { class: "small", text: words["runs.delete"], disabled: moving(run.state), title: moving(run.state) ? words["runs.delete_running"] : null, onclick: () => remove(run) }));
      return make("tr", { "data-run": run.id }, make("td", { class: "choose" }, box),
        make("td", { class: "of-state" }, make("span", { class: `state ${run.state}`, text: words[`state.${run.state}`] }),
          run.state === "queued" && place ? make("div", { class: "muted place", text: fill(words["runs.place"], { place }) }) : null),
        name, make("td", { class: "text", title: `${run.data}\n${modelName(run)}` }, make("div", { text: run.data }), make("div", { class: "muted", text: shortModel(run) })),
        make("td", { class: "number result", text: run.metrics.f1 === undefined ? "–" : `${words["metric.f1"]} ${score(run.metrics.f1)}` },
          // Of a run that is not complete nobody has looked at the test texts.
          run.metrics.f1 !== undefined && run.state !== "completed" ? make("small", { class: "muted", text: words["runs.on_validation"] }) : null),
        make("td", { class: "number length" }, make("div", { text: run.worked_s ? duration(run.worked_s) : "–" }), make("div", { class: "muted", text: size(run.disk_bytes) })),
        started(run.created), actions);
    }

    function drawCompare() {
      compare.textContent = fill(words["runs.compare"], { count: chosen.size });
      compare.disabled = chosen.size < 2 || chosen.size > MOST_COMPARED;
      compare.title = compare.disabled ? words["runs.compare_help"] : "";
    }

    function draw(force = false) {
      if (editing || !known) return; // a column is clicked before the list has come
      const { runs } = known;
      const key = JSON.stringify(runs);
      if (key === shown && !force) return;
      shown = key;
      const found = sorted(runs.filter((run) => matches(run, find.value, state.value)), order());
      const column = order().replace("-", ""), direction = order().startsWith("-") ? "descending" : "ascending";
      for (const [name, sorter] of Object.entries(sorters)) sorter.dataset.sorted = name === column ? direction : "";
      COLUMNS.forEach((names, place) => heads[place].setAttribute("aria-sort", names.includes(column) ? direction : "none"));
      body.replaceChildren(...found.map(row));
      for (const id of chosen) if (!runs.some((run) => run.id === id)) chosen.delete(id);
      const bytes = found.reduce((sum, run) => sum + run.disk_bytes, 0);
      total.textContent = fill(words["runs.total"], { count: count(found.length), size: size(bytes) });
      empty.hidden = runs.length > 0; none.hidden = !runs.length || found.length > 0;
      table.hidden = !found.length; tools.hidden = !runs.length;
      drawCompare();
    }

    async function refresh() {
      if (editing) return;
      const answer = await ask("api/runs").catch(() => null);
      if (!answer || editing) return;
      known = answer;
      draw();
    }
    if (chosen.size) compared.show([...chosen]);
    repeat(element, 2000, refresh);
    trash.refresh();
  }

  /** What was deleted, until it is emptied. */
  function trashBox(onChange, failed) {
    const head = make("summary"), list = make("tbody"), actions = make("div", { class: "trash-actions" });
    const node = make("details", { class: "trash", hidden: true, ontoggle: () => refresh() }, head, make("div", { class: "scroll" }, make("table", { class: "figures" }, list)), actions);
    let asked = 0; // about so many runs, and not answered yet
    const act = async (path, options) => { asked = 0; try { await ask(path, options); } catch (error) { failed(error); } await refresh(); onChange(); };
    async function refresh() {
      const answer = await ask("api/trash").catch(() => null);
      if (!answer) return;
      const { runs } = answer, bytes = runs.reduce((sum, run) => sum + run.disk_bytes, 0);
      node.hidden = !runs.length;
      head.textContent = fill(words["runs.trash"], { count: count(runs.length), size: size(bytes) });
      list.replaceChildren(...runs.map((run) => make("tr", {}, make("td", { class: "name", text: run.name }), make("td", { text: words[`state.${run.state}`] }),
        make("td", { class: "number", text: size(run.disk_bytes) }), make("td", { class: "actions" },
          make("button", { class: "small", text: words["runs.restore"], onclick: () => act(`api/trash/${run.id}/restore`, { method: "POST" }) })))));
      const sure = make("button", { class: "small danger", type: "button", text: words["runs.empty_yes"], onclick: () => act("api/trash", { method: "DELETE" }) });
      const keep = make("button", { class: "small", type: "button", text: words["runs.delete_no"], onclick: () => { asked = 0; actions.replaceChildren(ask_); } });
      const ask_ = make("button", { class: "small", type: "button", text: words["runs.empty"], onclick: () => {
        asked = runs.length;
        actions.replaceChildren(make("span", { class: "question", text: fill(words["runs.empty_question"], { count: count(asked) }) }), sure, keep);
      } });
      if (asked !== runs.length) { asked = 0; actions.replaceChildren(ask_); } // a question stays while what it asks about does
    }
    return { node, refresh };
  }

  return { runsTable };
})());
