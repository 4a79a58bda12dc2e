/* The steps that make a table ready: in their order, each with what it touched, to be switched off, changed and moved. */
"use strict";

Object.assign(Studio, (() => {
  const { make, parsed } = Studio;

  function rows({ heads, rows }) {
    const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { text, scope: "col" }))));
    const lines = rows.map((row) => make("tr", {}, ...row.map((text) => make("td", { text }))));
    return make("div", { class: "scroll" }, make("table", { class: "figures rows" }, head, make("tbody", {}, ...lines)));
  }

  function field({ name, label, type, value, choices, least, most, pace }, set) {
    const taken = (event) => set(name, type === "number" || type === "range" ? Number(event.target.value) : event.target.value);
    if (type === "choice") {
      const options = choices.map(([text, option]) => make("option", { text, value: option, ...(option === value ? { selected: true } : {}) }));
      return make("label", {}, make("span", { text: label }), make("select", { onchange: taken, "data-field": name }, ...options));
    }
    if (type === "range") {
      const shown = make("output", { text: value.toFixed(2) });
      // The value comes after its bounds: it is fitted into those that stand when it comes.
      const slider = make("input", {
        type: "range", min: least, max: most, step: pace, value, "data-field": name, "aria-label": label, onchange: taken,
        oninput: (event) => { shown.textContent = Number(event.target.value).toFixed(2); },
      });
      return make("label", {}, make("span", { text: label }), slider, shown);
    }
    return make("label", {}, make("span", { text: label }), make("input", { type: type === "number" ? "number" : "text", value, min: least, "data-field": name, onchange: taken }));
  }

  /** `value` is {"steps": [{"step", "name", "said", "fields", "examples"}], "words"}; a change makes it {"change": [step, …]}. */
  function stepList(element, props, changed, watch) {
    let mine = null;
    function send(steps) {
      mine = JSON.stringify({ change: steps, at: Date.now() });
      props.value = mine;
      element.firstElementChild?.classList.add("busy");
      changed();
    }
    function line(entry, index, all, words) {
      const documents = all.map((other) => other.step);
      const with_ = (values) => documents.map((step, at) => (at === index ? { ...step, ...values } : step));
      const moved = (to) => { const next = [...documents]; next.splice(to, 0, ...next.splice(index, 1)); return next; };
      const button = (text, title, steps, disabled = false) => make("button", { type: "button", class: "icon small", text, title, "aria-label": `${title}: ${entry.name}`, ...(disabled ? { disabled: true } : {}), onclick: () => send(steps()) });
      const on = make("input", { type: "checkbox", ...(entry.step.on ? { checked: true } : {}), "aria-label": `${words.on}: ${entry.name}`, onchange: (event) => send(with_({ on: event.target.checked })) });
      const fields = entry.fields.map((each) => field(each, (name, value) => send(with_({ [name]: value }))));
      const said = make("div", { class: "said muted" }, ...entry.said.map((text) => make("div", { text })));
      const seen = entry.examples.rows.length ? make("details", {}, make("summary", {}, make("span", { class: "see", text: words.see })), rows(entry.examples)) : null;
      return make("li", { class: entry.step.on ? "step" : "step off", "data-step-kind": entry.step.kind },
        make("div", { class: "step-line" }, on, make("strong", { text: entry.name }),
          make("span", { class: "step-buttons" },
            button("↑", words.up, () => moved(index - 1), index === 0),
            button("↓", words.down, () => moved(index + 1), index === all.length - 1),
            button("✕", words.remove, () => documents.filter((_step, at) => at !== index)))),
        fields.length ? make("div", { class: "step-fields" }, ...fields) : null, said, seen);
    }
    function show() {
      if (props.value === mine && mine !== null) return;
      const given = parsed(props.value);
      element.replaceChildren();
      if (!given?.steps) return;
      if (!given.steps.length) { element.append(make("p", { class: "muted", text: given.words.none })); return; }
      element.append(make("ol", { class: "steps-list" }, ...given.steps.map((entry, index) => line(entry, index, given.steps, given.words))));
    }
    watch("value", show);
    show();
  }

  return { stepList };
})());
