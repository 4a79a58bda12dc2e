/* A run as it happens: phases, progress, curves, and how it ended. Asks only for what is new since event n. */
"use strict";

Object.assign(Studio, (() => {
  const { words, make, ask, repeat, parsed, fill, score, duration, count, rate, moving, working, colour, chartLayout, chartOptions, curveMode, canDraw } = Studio;
  const phases = ["reading", "splitting", "baselines", "tokenising", "training", "evaluating", "saving"];
  const metrics = ["accuracy", "f1", "f1_macro"];
  const smoothing = 0.9;

  const palette = () => ({ train: colour("--studio-series-1"), smooth: colour("--studio-series-1"), validation: colour("--studio-series-2"), accuracy: colour("--studio-series-1"), f1: colour("--studio-series-2"), f1_macro: colour("--studio-series-3") });

  /** The curves of one run: grows by what is new. */
  function curves() {
    const lossBox = make("div", { class: "chart loss" }), metricBox = make("div", { class: "chart metrics" });
    const data = { loss: { x: [], y: [], smooth: [] }, validation: { x: [], y: [] }, accuracy: { x: [], y: [] }, f1: { x: [], y: [] }, f1_macro: { x: [], y: [] } };
    const baselines = {};
    /** What an earlier attempt told of later steps is done again. */
    function supersede(step) {
      for (const series of Object.values(data)) {
        let kept = 0;
        while (kept < series.x.length && series.x[kept] <= step) kept += 1;
        for (const values of Object.values(series)) values.length = kept;
      }
    }
    let drawn = false, stale = false, log = false, revision = 0;

    function take(event) {
      if (event.type === "LossLogged") {
        const { loss } = data, last = loss.smooth.at(-1) ?? event.loss;
        loss.x.push(event.step); loss.y.push(event.loss);
        loss.smooth.push(smoothing * last + (1 - smoothing) * event.loss);
      } else if (event.type === "Evaluated" && event.split === "validation") {
        data.validation.x.push(event.step); data.validation.y.push(event.loss);
        for (const name of metrics) if (name in event.metrics) { data[name].x.push(event.step); data[name].y.push(event.metrics[name]); }
      } else if (event.type === "BaselineMeasured") baselines[event.name] = event.metrics;
      else if (event.type === "Resumed") supersede(event.step);
      else return;
      stale = true;
    }
    function traces() {
      const c = palette();
      const line = (name, x, y, color, more = {}) => ({ type: "scatter", mode: "lines", name, x, y, line: { color, width: 2, ...more.line }, ...more.trace });
      const marked = (name, { x, y }, color) => line(name, x, y, color, { trace: { mode: curveMode(x), marker: { size: 7, color } } });
      return {
        loss: [
          line(words["chart.train_loss"], data.loss.x, data.loss.y, c.train, { line: { width: 1 }, trace: { opacity: 0.4 } }),
          line(words["chart.train_smooth"], data.loss.x, data.loss.smooth, c.smooth),
          marked(words["chart.validation_loss"], data.validation, c.validation),
        ],
        metrics: metrics.map((name) => marked(words[`metric.${name}`], data[name], c[name])),
      };
    }
    function baselineLines() {
      const tfidf = baselines.tfidf?.f1, c = palette();
      if (tfidf === undefined) return {};
      return {
        shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: tfidf, y1: tfidf, line: { dash: "dash", width: 1.5, color: c.f1 } }],
        annotations: [{ xref: "paper", x: 0.01, y: tfidf, yanchor: "bottom", xanchor: "left", showarrow: false, font: { size: 11, color: c.f1 }, text: `${words["chart.baseline"]} ${score(tfidf)}` }],
      };
    }
    const logSwitch = make("label", { class: "switch" }, make("input", { type: "checkbox", onchange: (event) => { log = event.target.checked; draw(true); } }), make("span", { text: words["chart.log"] }));
    const node = make("div", { class: "charts", hidden: true }, make("div", { class: "card" }, lossBox, logSwitch), make("div", { class: "card" }, metricBox));
    function draw(force = false) {
      node.hidden = !data.loss.x.length && !data.validation.x.length; // axes without a point say nothing
      if (!(stale || force) || !lossBox.isConnected || !lossBox.offsetWidth) return;
      if (!canDraw(() => draw(force))) return;
      stale = false;
      const { loss, metrics: scores } = traces(), act = drawn ? Plotly.react : Plotly.newPlot;
      drawn = true;
      revision += 1; // the arrays grow in place, which Plotly would take for the same data
      act(lossBox, loss, chartLayout(words["chart.loss"], { revision, xTitle: words["chart.step"], y: { type: log ? "log" : "linear", rangemode: log ? "normal" : "tozero" } }), chartOptions);
      act(metricBox, scores, chartLayout(words["chart.metrics"], { revision, xTitle: words["chart.step"], x: data.validation.x.length ? {} : { range: [0, data.loss.x.at(-1)] }, y: { tickformat: ".3~f", ...(data.validation.x.length ? { autorange: true, autorangeoptions: { clipmin: -0.02, clipmax: 1.02 } } : { range: [0, 1] }) }, ...baselineLines() }), chartOptions);
    }
    document.addEventListener("studio-theme", () => draw(true));
    new ResizeObserver(() => { if (!drawn || stale) draw(true); }).observe(lossBox);
    return { node, take, draw };
  }

  /** The seven phases in a row, each done, current or to come. */
  function phaseRow() {
    const node = make("ol", { class: "phases" }, ...phases.map((name) => make("li", { "data-phase": name }, make("span", { text: words[`phase.${name}`] }), make("small"))));
    let started = {}, attempt = 1;
    return {
      node,
      take(event) {
        if (event.attempt > attempt) { attempt = event.attempt; started = {}; }
        if (event.type === "PhaseStarted" && !(event.phase in started)) started[event.phase] = event.time;
      },
      draw(status, now) {
        // What was kept of a run that ended early is saved too, but it ended before.
        const kept = status.final && status.state !== "completed" && status.phase === "saving" && !("evaluating" in started);
        const reached = phases.indexOf(kept ? "training" : status.phase), end = status.ended ?? now;
        phases.forEach((name, index) => {
          const item = node.children[index], over = status.state === "completed" || index < reached;
          item.className = over ? "done" : index === reached ? (status.final ? `ended ${status.state}` : "current") : "";
          const from = started[name], to = phases.slice(index + 1).map((next) => started[next]).find(Boolean) ?? end;
          item.querySelector("small").textContent = from && (over || index === reached) ? duration(to - from) : "";
        });
      },
      since: (name) => started[name],
    };
  }

  /** `value` is {"run": id}. */
  function liveRun(element, props, watch) {
    let cancel = () => {};
    function show() {
      cancel();
      element.replaceChildren();
      const given = parsed(props.value);
      if (!given?.run) return;
      const state = make("span", { class: "state" }), where = make("span", { class: "where" }), times = make("span", { class: "times" });
      const fillBar = make("i"), bar = make("div", { class: "progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, fillBar);
      const name = make("h2"), facts = make("p", { class: "facts muted" }), notes = make("ul", { class: "notes" }), ending = make("div", { class: "ending" });
      const stop = make("button", { class: "stop", text: words["train.stop"], onclick: async () => {
        stop.disabled = true;
        try { await ask(`api/runs/${given.run}/stop`, { method: "POST" }); } catch (error) { ending.replaceChildren(make("p", { class: "problem", text: `${error.what} ${error.next}` })); stop.disabled = false; }
      } });
      const row = phaseRow(), charts = curves(), notify = Studio.notifySwitch();
      const stacks = make("pre", { class: "log" }), silentWords = make("span");
      const silent = make("div", { class: "banner warn", role: "status", hidden: true }, silentWords, make("details", { ontoggle: async (event) => {
        if (event.target.open) stacks.textContent = (await ask(`api/runs/${given.run}/stacks`)).stacks || words["train.stacks_none"];
      } }, make("summary", { text: words["train.stacks"] }), stacks));
      element.append(make("section", { class: "live" },
        make("div", { class: "live-head" }, name, state, make("span", { class: "grow" }), notify, stop), row.node,
        make("div", { class: "live-line" }, where, times), bar, silent, facts, ending, charts.node, notes));
      let since = 0, lost = false, attempt = 1, begun = 0, ended = "";

      const takers = {
        Resumed: (event) => notes.append(make("li", { text: event.step ? fill(words["train.resumed"], { step: count(event.step) }) : words["train.resumed_anew"] })),
        Noted: (event) => notes.append(make("li", { text: note(event) })),
        ModelDescribed: (event) => { facts.textContent = fill(words["train.model_facts"], { parameters: count(event.parameters), trainable: count(event.trainable), device: event.device, precision: event.precision }); },
      };
      const note = (event) => fill(words[`note.${event.code}`] ?? words[`note.${event.code}.${event.facts.count === 1 ? "one" : "other"}`] ?? event.code, event.facts);
      function waits(queue) {
        if (!queue) return words["state.queued"];
        if (!queue.ahead.length) return words["train.waits_free"];
        const facts = { place: queue.place, count: queue.count, ahead: queue.ahead.join(", "), running: queue.ahead[0] };
        return fill(words[queue.place === 1 ? "train.waits_first" : "train.waits"], facts);
      }
      function drawLine(status, now, queue) {
        const { progress, phase } = status, share = status.state === "completed" ? 1 : progress?.total ? progress.done / progress.total : 0;
        state.className = `state ${status.state}`; state.textContent = words[`state.${status.state}`];
        Studio.title(working(status.state) ? share : null);
        const parts = [];
        if (moving(status.state)) {
          parts.push(status.state === "queued" ? waits(queue) : words[`phase.${phase}`] ?? words["state.starting"]);
          if (progress?.epochs) parts.push(fill(words["train.epoch"], { epoch: Math.min(progress.epochs, Math.floor(progress.epoch) + 1), epochs: progress.epochs }));
          if (progress?.total) parts.push(`${count(progress.done)} / ${count(progress.total)}${progress.unit ? ` ${words[`unit.${progress.unit}`] ?? progress.unit}` : ""}`);
        }
        where.textContent = parts.join(" · ");
        // An attempt's time counts from its beginning, not from that of the first one.
        const elapsed = (status.ended ?? now) - (status.attempt > 1 ? begun || (status.ended ?? now) : status.created), clock = [];
        // Training knows best: a resumed run has begun in its middle, and the starter's first steps take less than the others.
        const from = row.since(phase), left = phase === "training" ? progress?.left_s : from && share > 0.02 && share < 1 ? ((progress.time - from) * (1 - share)) / share : null;

        if (working(status.state) || (status.ended && status.state !== "cancelled")) clock.push(fill(words["train.elapsed"], { time: duration(elapsed) }));
        if (moving(status.state) && left) clock.push(fill(words["train.left"], { time: duration(left) }));
        if (moving(status.state) && progress?.rate) clock.push(fill(words["train.rate"], { rate: rate(progress.rate) }));
        times.textContent = clock.join(" · ");
        fillBar.style.width = `${share * 100}%`; bar.setAttribute("aria-valuenow", Math.round(share * 100));
        bar.className = `progress ${status.state}${moving(status.state) && !progress?.total ? " unknown" : ""}`;
        bar.hidden = ["queued", "cancelled"].includes(status.state) || (!moving(status.state) && !share); // it has not begun, or nothing is known of it
        if (notify) notify.hidden = !moving(status.state);
        silent.hidden = !status.silent_s;
        if (status.silent_s) silentWords.textContent = fill(words["train.silent"], { time: duration(status.silent_s) });
        stop.hidden = !moving(status.state); stop.disabled = status.state === "stopping";
        stop.textContent = words[{ stopping: "state.stopping", queued: "train.cancel" }[status.state] ?? "train.stop"];
      }
      async function showLog(box) {
        const { lines } = await ask(`api/runs/${given.run}/log`);
        box.textContent = lines.join("\n") || words["train.log_empty"];
      }
      async function retry(button, code) {
        button.disabled = true; // one click, one run
        try { const { run } = await ask(`api/runs/${given.run}/retry?remedy=${code}`, { method: "POST" }); Studio.go(`?run=${run}&step=train`); }
        catch (error) { button.disabled = false; ending.append(make("p", { class: "problem", role: "alert", text: `${error.what} ${error.next}` })); }
      }
      async function resume(button, step) {
        button.disabled = true;
        try { await ask(`api/runs/${given.run}/resume${step === undefined ? "" : `?step=${step}`}`, { method: "POST" }); show(); }
        catch (error) { button.disabled = false; ending.append(make("p", { class: "problem", role: "alert", text: `${error.what} ${error.next}` })); }
      }
      /** Going on: from the newest checkpoint, or from another one that is chosen. */
      function resuming(steps, strong) {
        const newest = steps.at(-1), label = newest === undefined ? words["train.resume_anew"] : fill(words["train.resume"], { step: count(newest) });
        const button = make("button", { class: strong ? "button primary" : "button", type: "button", text: label, onclick: () => resume(button, select.value || undefined) });
        const select = make("select", { "aria-label": words["train.checkpoint"], onchange: () => { button.textContent = fill(words["train.resume"], { step: count(select.value) }); } },
          ...[...steps].reverse().map((step) => make("option", { value: step, text: fill(words["train.resume_from"], { step: count(step) }) })));
        return steps.length > 1 ? [button, select] : [button];
      }
      function drawEnding(status, remedies, steps) {
        const log = make("pre", { class: "log" });
        const details = make("details", { ontoggle: (event) => { if (event.target.open) showLog(log); } }, make("summary", { text: words["train.log"] }), log);
        const link = (step, key, strong) => make("a", { class: strong ? "button primary" : "button", href: `?run=${given.run}&step=${step}`, "data-go": true, text: words[key] });
        const box = [], strong = !remedies.length || status.state === "interrupted";
        if (status.state === "completed") box.push(make("div", { class: "banner good" }, make("strong", { text: words["train.completed"] }), link("results", "train.see_results", true), link("try", "train.try")));
        else if (status.state === "stopped") {
          const kept = status.kept;
          box.push(make("div", { class: "banner" }, make("strong", { text: words["train.stopped"] }),
            make("span", { text: kept ? fill(words[`train.kept${kept.metrics?.f1 === undefined ? "_unmeasured" : ""}${kept.epoch ? "" : "_first"}`], { step: count(kept.step), epoch: Number(kept.epoch).toFixed(2), f1: score(kept.metrics?.f1), accuracy: score(kept.metrics?.accuracy) }) : words["train.kept_nothing"] }),
            kept ? link("try", "train.try", true) : null, ...resuming(steps, !kept)));
        } else if (status.state === "cancelled") {
          box.push(make("div", { class: "banner" }, make("strong", { text: words["train.cancelled"] })));
          details.hidden = true;
        } else {
          // What is asked for is at fault, and would be again.
          const asked = status.state === "failed" && !steps.length && /^(data|model|spec)\.(?!hub_unreachable|hub_gated|gated|tracker_failed)/.test(status.error?.code ?? "");
          box.push(make("div", { class: "banner bad", role: "alert" }, make("strong", { text: status.error?.what ?? words[`train.${status.state}`] }), make("span", { text: status.error?.next ?? words["train.interrupted_next"] }),
            asked ? link("model", "train.change_options", true) : null,
            // Without a checkpoint it would begin anew: a remedy does that with what may help.
            ...(steps.length || !remedies.length ? resuming(steps, strong && !asked) : []),
            ...remedies.map((remedy, place) => make("button", { class: place || (strong && steps.length) ? "button" : "button primary", type: "button", text: remedy.text, onclick: (event) => retry(event.target, remedy.code) })),
            ["best", "last"].includes(status.error?.kept) ? link("try", "train.try") : null));
        }
        ending.replaceChildren(...box, details);
      }
      cancel = repeat(element, 1000, async () => {
        let news;
        try { news = await ask(`api/runs/${given.run}/events?since=${since}`); }
        catch (error) {
          if (error.what) { ending.replaceChildren(make("p", { class: "problem", role: "alert", text: `${error.what} ${error.next}` })); return false; }
          if (!lost) { lost = true; ending.replaceChildren(make("div", { class: "banner", role: "status", text: words["train.offline"] })); }
          return undefined; // the studio is away: keep asking, the run goes on without it
        }
        if (lost) { lost = false; ended = ""; ending.replaceChildren(); }
        since = news.events.length ? news.events.at(-1).seq + 1 : since; // a long curve comes thinned
        name.textContent = news.name;
        for (const event of news.events) {
          if (event.attempt > attempt) { attempt = event.attempt; begun = event.time; notes.replaceChildren(); }
          row.take(event); charts.take(event); takers[event.type]?.(event);
        }
        row.draw(news.status, news.now);
        drawLine(news.status, news.now, news.queue);
        charts.draw();
        if (!news.status.final) {
          if (ended) { ended = ""; ending.replaceChildren(); } // it goes on, whoever resumed it
          return undefined;
        }
        const end = `${news.status.attempt} ${news.status.state}`;
        if (ended !== end) { ended = end; drawEnding(news.status, news.remedies, news.resumable); }
        return news.status.state === "completed" ? false : 5000;
      });
    }
    watch("value", show);
    show();
  }

  return { liveRun };
})());
