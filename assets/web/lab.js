/* The optimization lab: a line with two bars, speed and memory, for each way to train, as they are measured. */
"use strict";

Object.assign(Studio, (() => {
  const { words, make, ask, repeat, parsed, duration, moving } = Studio;

  const meter = (share, text, kind) => make("div", { class: `meter ${kind}` },
    make("span", { class: "track", "aria-hidden": "true" }, make("i", { style: `width:${Math.max(1, 100 * share)}%` })), make("span", { class: "figure", text }));

  /** One way: its name, bars, and what applies it. */
  function line(found, most, best, apply) {
    const name = make("div", { class: "way" }, make("b", { text: found.name }), found.code === best ? make("span", { class: "chip", text: words["lab.best"] }) : null);
    if (found.why_not) return make("li", { class: "failed", "data-code": found.code }, name, make("p", { class: "problem", text: found.why_not }));
    const speed = `${found.rate.toFixed(1)} ${words["lab.rate"]}${found.ratio ? ` · ${found.ratio}` : ""}`;
    const step = Studio.fill(words["lab.step_took"], { seconds: found.step_seconds.toFixed(2) });
    const button = found.code === "chosen" ? null : make("button", { type: "button", class: "small", text: words["lab.apply"], title: found.flags, onclick: () => apply(found.code) });
    return make("li", { class: found.code === best ? "best" : "", "data-code": found.code },
      name, meter(found.rate / most.rate, speed, "speed"), meter(found.peak_bytes / most.memory, found.memory, "memory"),
      make("span", { class: "muted step", text: step }), button,
      found.flags ? make("code", { class: "flags", text: found.flags }) : null);
  }

  /** `value` is {"job": id}; a click on Apply makes it {"job", "apply": code} and calls `applied`. */
  function labBars(element, props, applied, watch) {
    let cancel = () => {}, shown = "";
    function show() {
      const given = parsed(props.value);
      if (given?.job === shown && shown) return; // a click came back
      cancel();
      shown = given?.job ?? "";
      element.replaceChildren();
      if (!shown) return;
      const phase = make("span", { class: "phase", text: words["state.starting"] }), time = make("span", { class: "muted" });
      const stop = make("button", { class: "small", text: words["job.cancel"], onclick: () => ask(`api/jobs/${given.job}/stop`, { method: "POST" }) });
      const head = make("div", { class: "job-line" }, phase, time, stop), list = make("ul", { class: "lab" }), after = make("div", { class: "ending" });
      element.append(head, list, after);
      const apply = (code) => { props.value = JSON.stringify({ job: given.job, apply: code, at: Date.now() }); applied(); };
      let drawn = -1;
      cancel = repeat(element, 1000, async () => {
        let news;
        try { news = await ask(`api/jobs/${given.job}/lab`); }
        catch (error) { if (error.what) { after.replaceChildren(make("p", { class: "problem", text: `${error.what} ${error.next}` })); return false; } return undefined; }
        const { status, lines } = news, { progress } = status;
        const at = progress?.total ? ` ${Math.min(progress.done + 1, progress.total)} / ${progress.total}` : "";
        phase.textContent = moving(status.state) ? `${words[`phase.${status.phase}`] ?? words["state.starting"]}${at}` : words[`state.${status.state}`];
        time.textContent = duration((status.ended ?? news.now) - status.created);
        stop.hidden = !moving(status.state);
        if (lines.length !== drawn) {
          drawn = lines.length;
          const measured = lines.filter((found) => found.rate);
          const most = { rate: Math.max(...measured.map((found) => found.rate)), memory: Math.max(...measured.map((found) => found.peak_bytes)) };
          list.replaceChildren(...lines.map((found) => line(found, most, moving(status.state) ? "" : news.best, apply)));
        }
        if (moving(status.state)) return undefined;
        drawn = -1;
        const most = { rate: Math.max(...lines.map((found) => found.rate ?? 0)), memory: Math.max(...lines.map((found) => found.peak_bytes ?? 0)) };
        list.replaceChildren(...lines.map((found) => line(found, most, news.best, apply)));
        const said = [status.error && `${status.error.what} ${status.error.next}`].filter(Boolean).map((text) => make("p", { class: "problem", role: "alert", text }));
        after.replaceChildren(...said, ...[news.advice, news.estimate].filter(Boolean).map((text) => make("p", { class: "muted", text })));
        return false;
      });
    }
    watch("value", show);
    show();
  }

  return { labBars };
})());
