/* The labels of a column: each with its rows, and a field for the name it shall have. */
"use strict";

Object.assign(Studio, (() => {
  const { make, parsed, count } = Studio;

  /** `value` is {"labels": [{"value", "count"}], "names": {value: name}}; `changed` is called after each change. */
  function labelNames(element, props, changed, watch) {
    let mine = null;
    function show() {
      if (props.value === mine) return; // what was typed here comes back: the fields stay as they are
      const given = parsed(props.value);
      const typed = element.contains(document.activeElement) ? document.activeElement : null;
      element.replaceChildren();
      if (!given?.labels) return;
      // No prototype: a label may be called "constructor" or "__proto__".
      const names = Object.assign(Object.create(null), given.names);
      element.append(make("div", { class: "label-grid" }, ...given.labels.flatMap((label) => {
        const field = make("input", {
          type: "text", value: names[label.value] ?? "", placeholder: label.value, maxlength: 80,
          "aria-label": Studio.fill(Studio.words["data.name_for"], { label: label.value }),
          onchange: (event) => {
            const name = event.target.value.trim();
            if (name && name !== label.value) names[label.value] = name; else delete names[label.value];
            mine = JSON.stringify({ labels: given.labels, names });
            props.value = mine;
            changed();
          },
        });
        return [
          make("span", { class: "value", text: label.value, title: label.value }), make("span", { class: "arrow", text: "→", "aria-hidden": "true" }), field,
          make("span", { class: "number", text: count(label.count) }),
        ];
      })));
      // An answer that comes in the middle of a word leaves it as it is.
      const again = typed && [...element.querySelectorAll("input")].find((field) => field.placeholder === typed.placeholder);
      if (again) { again.focus(); again.value = typed.value; again.setSelectionRange(typed.selectionStart, typed.selectionEnd); }
    }
    watch("value", show);
    show();
  }

  return { labelNames };
})());
