/* What stands out in a table: each finding with its rows behind a click, and a button for each way to mend it. */
"use strict";

Object.assign(Studio, (() => {
  const { make, parsed } = Studio;
  const MARKS = { error: "✕", warning: "▲", note: "·", ok: "✓" };

  const isNumber = (content) => /^[\d,.]+$/.test(content);
  const cell = (name, content) => make(name, name === "th" ? { text: content, scope: "col" } : { text: content, class: isNumber(content) && "number" });

  function rows({ heads, rows }) {
    const head = heads.length ? make("thead", {}, make("tr", {}, ...heads.map((text) => cell("th", text)))) : null;
    const lines = rows.map((row) => make("tr", {}, ...row.map((text) => cell("td", text))));
    return make("div", { class: "scroll" }, make("table", { class: "figures" }, head, make("tbody", {}, ...lines)));
  }

  function finding(found, words, asked) {
    const buttons = found.repairs.map(({ name, repair }) => make("button", {
      type: "button", class: "small repair", text: name, "data-repair": JSON.stringify(repair),
      onclick: (event) => asked(repair, event.currentTarget),
    }));
    const said = make("span", { class: "said-of", text: found.words });
    const seen = found.examples?.rows.length
      ? make("details", {}, make("summary", {}, said, make("span", { class: "see", text: words.see })), rows(found.examples))
      : said;
    return make("li", { class: found.severity, "data-finding": found.code },
      make("span", { class: "mark", text: MARKS[found.severity], "aria-hidden": "true" }),
      make("div", { class: "grow" }, seen, buttons.length ? make("div", { class: "repairs" }, ...buttons) : null));
  }

  /** `value` is {"findings": […], "words": {…}} or {"said": text}; a click makes it {"repair": …} and calls `wanted`. */
  function findingsList(element, props, wanted, watch) {
    let mine = null;
    function asked(repair, button) {
      for (const other of element.querySelectorAll("button.repair")) other.disabled = true;
      button.classList.add("busy");
      mine = JSON.stringify({ repair, at: Date.now() });
      props.value = mine;
      wanted();
      // Where nothing comes back, an error has been said: the buttons are for trying again.
      setTimeout(() => { for (const other of element.querySelectorAll("button.repair")) other.disabled = false; }, 15000);
    }
    function show() {
      if (props.value === mine && mine !== null) return; // the click comes back: what stood there stays until the answer
      const given = parsed(props.value);
      const opened = new Set([...element.querySelectorAll("li:has(details[open])")].map((item) => item.dataset.finding));
      element.replaceChildren();
      if (given?.said) element.append(make("p", { class: "muted", text: given.said }));
      if (!given?.findings) return;
      const lines = given.findings.map((found) => finding(found, given.words, asked));
      element.append(make("ul", { class: "findings" }, ...lines));
      for (const item of element.querySelectorAll("li")) { // what was opened stays open over a new report
        const details = item.querySelector("details");
        if (details) details.open = opened.has(item.dataset.finding);
      }
      if (given.after) element.append(make("p", { class: "muted", text: given.after }));
    }
    watch("value", show);
    show();
  }

  return { findingsList };
})());
