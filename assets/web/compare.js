/* Runs beside each other: a chart a metric with a curve a run, a table of metrics, and the settings that differ. */
"use strict";

Object.assign(Studio, (() => {
  const { words, make, ask, score, duration, size, rate, moving, address, seriesColours, chartLayout, chartOptions, curveMode, canDraw } = Studio;
  const CHARTS = ["train_loss", "validation_loss", "accuracy", "f1", "f1_macro", "mcc", "jaccard", "roc_auc"];
  const WIDE = 1e4; // beyond such a spread losses are drawn on a logarithmic axis
  const LESS_IS_BETTER = ["loss"];

  /** The greatest of some curves' values in units of the least one above 0: one that diverged would flatten the others. */
  function spread(traces) {
    const values = traces.flatMap(({ y }) => y).filter((value) => value > 0);
    return values.reduce((a, b) => Math.max(a, b), 0) / values.reduce((a, b) => Math.min(a, b), Infinity);
  }
  const title = (name) => words[`compare.${name}`] ?? words[`metric.${name}`] ?? name;
  const head = (runs) => make("thead", {}, make("tr", {}, make("th"), ...runs.map((run, place) => make("th", { scope: "col" }, make("i", { class: `series series-${place + 1}`, "aria-hidden": "true" }), make("a", { href: address(run), "data-go": true, text: run.name })))));

  function metricRows({ runs, metrics }) {
    const row = (name, values, text, best) => make("tr", {}, make("th", { scope: "row", text: name }), ...values.map((value) => make("td", { class: `number${value !== null && value !== undefined && value === best ? " best" : ""}`, text: value === null || value === undefined ? "–" : text(value) })));
    const rows = metrics.map((name) => {
      const values = runs.map((run) => run.metrics[name]), there = values.filter((value) => value !== undefined && value !== null);
      const best = there.length > 1 && new Set(there).size > 1 ? (LESS_IS_BETTER.includes(name) ? Math.min(...there) : Math.max(...there)) : undefined;
      return row(title(name), values, score, best);
    });
    rows.push(row(words["runs.state"], runs.map((run) => words[`state.${run.state}`]), (text) => text));
    rows.push(row(words["runs.duration"], runs.map((run) => run.seconds), duration));
    rows.push(row(words["compare.rate"], runs.map((run) => run.examples_per_second), rate));
    rows.push(row(words["compare.memory"], runs.map((run) => run.peak_memory_bytes), size));
    return rows;
  }

  function settingRows({ runs, settings }) {
    if (!settings.length) return [make("tr", {}, make("td", { colspan: runs.length + 1, class: "muted", text: words["compare.same"] }))];
    return settings.map((setting) => make("tr", {}, make("th", { scope: "row", text: setting.name, title: setting.path }), ...setting.values.map((value) => make("td", { text: value }))));
  }

  /** A section that shows chosen runs; `closed` is called when it is put away. */
  function comparison(closed) {
    const node = make("section", { class: "comparison", hidden: true });
    let boxes = [], found = null, ids = [], timer = 0;

    function draw() {
      if (!found || !canDraw(draw)) return;
      const c = seriesColours(found.runs.length);
      for (const { name, box } of boxes) {
        const traces = found.runs.map((run, place) => ({ run, place })).filter(({ run }) => run.curves[name]?.length).map(({ run, place }) => ({
          type: "scatter", mode: curveMode(run.curves[name]), name: run.name, x: run.curves[name].map(([step]) => step), y: run.curves[name].map(([, value]) => value), line: { color: c[place], width: 2 }, marker: { size: 6 },
        }));
        const loss = spread(traces) > WIDE ? { type: "log", tickformat: ".0e" } : { rangemode: "tozero" };
        Plotly.react(box, traces, { ...chartLayout(title(name), { xTitle: words["chart.step"], y: name.includes("loss") ? loss : { tickformat: ".3~f" } }), showlegend: false, height: 240 }, { ...chartOptions, displayModeBar: false });
      }
    }
    document.addEventListener("studio-theme", draw);

    async function show(given) {
      clearTimeout(timer);
      ids = given;
      try { found = await ask(`api/compare?${ids.map((id) => `run=${encodeURIComponent(id)}`).join("&")}`); }
      catch (error) {
        found = null;
        node.replaceChildren(bar(), make("p", { class: "problem", role: "alert", text: `${error.what} ${error.next}` }));
        node.hidden = false;
        return;
      }
      const names = CHARTS.filter((name) => found.runs.some((run) => run.curves[name]?.length));
      if (names.join() !== boxes.map(({ name }) => name).join() || node.hidden) {
        boxes = names.map((name) => ({ name, box: make("div", { class: "chart" }) }));
      }
      const legend = found.runs.map((run, place) => make("span", {}, make("i", { class: `series series-${place + 1}`, "aria-hidden": "true" }), make("span", { text: run.name })));
      // What runs learned of different texts or labels does not say which way to train is better.
      const apart = found.settings.some(({ path }) => /^(data|prepare|sample|split)\./.test(path) && path !== "data.label_names");
      node.replaceChildren(bar(), make("p", { class: "compared-runs" }, ...legend),
        apart ? make("p", { class: "muted", text: words["compare.other_data"] }) : "",
        make("div", { class: "compared-charts" }, ...boxes.map(({ box }) => make("div", { class: "card" }, box))),
        make("div", { class: "scroll" }, make("table", { class: "figures compared" }, head(found.runs), make("tbody", {}, ...metricRows(found)))),
        make("h4", { text: words["compare.differences"] }),
        make("div", { class: "scroll" }, make("table", { class: "figures compared" }, head(found.runs), make("tbody", {}, ...settingRows(found)))));
      node.hidden = false;
      requestAnimationFrame(draw);
      if (found.runs.some((run) => moving(run.state))) timer = setTimeout(() => node.isConnected && !node.hidden && show(ids), 5000);
    }
    const bar = () => make("div", { class: "live-head" }, make("h3", { text: words["compare.title"] }), make("span", { class: "grow" }),
      make("button", { type: "button", class: "small", text: words["compare.close"], onclick: () => { clearTimeout(timer); node.hidden = true; found = null; closed(); } }));
    return { node, show };
  }

  return { comparison };
})());
