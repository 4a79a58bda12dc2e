/* The progress of an import, a report or an upload. */
"use strict";

Object.assign(Studio, (() => {
  const { words, make, ask, repeat, parsed, fill, duration, moving, count, score } = Studio;

  /**
   * Shows one job; `value` is {"job": id, "then": "?data={dataset}"}: where to go when it is done, from its result.
   * With "tell" its end is told by `onEnd`; with "again" one that did not complete gets a button that calls `onAgain`.
   */
  function jobProgress(element, props, watch, onEnd, onAgain) {
    let cancel = () => {};
    function show() {
      cancel();
      element.replaceChildren();
      const given = parsed(props.value);
      if (!given?.job) return;
      const phase = make("span", { class: "phase", text: words["state.starting"] }), time = make("span", { class: "muted" });
      const fillBar = make("i"), bar = make("div", { class: "progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, fillBar);
      const stop = make("button", { class: "small", text: words["job.cancel"], onclick: () => ask(`api/jobs/${given.job}/stop`, { method: "POST" }) });
      const ending = make("div", { class: "ending" });
      element.append(make("div", { class: "job" }, make("div", { class: "job-line" }, phase, time, stop), bar, ending));
      let since = 0, result = null;
      cancel = repeat(element, 500, async () => {
        let news;
        try { news = await ask(`api/jobs/${given.job}/events?since=${since}`); }
        catch (error) { if (error.what) { ending.replaceChildren(make("p", { class: "problem", text: `${error.what} ${error.next}` })); return false; } return undefined; }
        since = news.events.length ? news.events.at(-1).seq + 1 : since;
        const { state, progress, error, created, ended } = news.status;
        // The job's last word may come a tick before its process is gone.
        result = news.events.findLast((event) => event.type === "JobCompleted")?.result ?? result;
        phase.textContent = words[`phase.${news.status.phase}`] && moving(state) ? words[`phase.${news.status.phase}`] : words[`state.${state}`];
        time.textContent = duration((ended ?? news.now) - created);
        const share = state === "completed" ? 1 : progress?.total ? progress.done / progress.total : 0;
        fillBar.style.width = `${share * 100}%`;
        bar.setAttribute("aria-valuenow", Math.round(share * 100));
        bar.classList.toggle("unknown", moving(state) && !progress?.total);
        stop.hidden = !moving(state);
        if (moving(state)) return undefined;
        if (error) ending.append(make("p", { class: "problem", role: "alert", text: `${error.what} ${error.next}` }));
        if (state !== "completed" && given.then) ending.append(make("a", { class: "button", href: "?step=data", "data-go": true, text: words["data.other_file"] }));
        if (state === "stopped") ending.append(make("p", { class: "muted", text: words["job.cancelled"] }));
        if (state !== "completed" && given.again) ending.append(make("button", { class: "small", text: given.again, onclick: onAgain }));
        if (given.tell) onEnd();
        if (state === "completed" && given.then && result) Studio.go(fill(given.then, result));
        if (state === "completed" && result?.archive) {
          ending.append(make("a", { class: "button primary", href: `api/jobs/${given.job}/prepared.zip`, download: true, text: words["data.export_ready"] }));
        }
        if (state === "completed" && result?.predictions) ending.append(...classified(given.job, result));
        if (state === "completed" && result?.url) {
          const link = /^https?:/.test(result.url) ? make("a", { href: result.url, target: "_blank", rel: "noopener noreferrer", text: result.url }) : make("code", { text: result.url });
          ending.append(make("p", {}, make("span", { text: `${words["job.published"]} ` }), link));
        }
        return false;
      });
    }
    watch("value", show);
    show();
  }

  /** What became of a table whose rows were classified: the file, and how well it went where that can be said. */
  function classified(job, result) {
    const { rows, predicted, blank, measured } = result, figures = measured?.metrics;
    const lines = [fill(words["job.predicted"], { rows: count(rows), predicted: count(predicted) })];
    if (blank) lines.push(fill(words["job.predicted_blank"], { blank: count(blank) }));
    if (figures) {
      const facts = { rows: count(measured.rows), accuracy: score(figures.accuracy), f1: score(figures.f1) };
      lines.push(fill(words["job.measured"], facts));
    }
    return [
      make("a", { class: "button primary", href: `api/jobs/${job}/predictions`, download: true, text: words["job.predictions"] }),
      ...lines.map((line) => make("p", { class: "muted", text: line })),
    ];
  }

  return { jobProgress };
})());
