/* The labels of a column: each with its rows, and a field for the name it shall have. */
"use strict";

Object.assign(Studio, (() => {
  const { make, parsed, count } = Studio;

  /** `value` is {"labels": [{"value", "count"}], "names": {value: name}}; "renamed" is triggered after each change. */
  function labelNames(element, props, trigger, watch) {
    let mine = null;
    function show() {
      if (props.value === mine) return; // what was typed here comes back: the fields stay as they are
      const given = parsed(props.value);
      element.replaceChildren();
      if (!given?.labels) return;
      const names = { ...given.names }, most = Math.max(1, ...given.labels.map((label) => label.count));
      element.append(make("div", { class: "label-grid" }, ...given.labels.flatMap((label) => {
        const field = make("input", {
          type: "text", value: names[label.value] ?? "", placeholder: label.value, maxlength: 80,
          "aria-label": Studio.fill(props.words["data.name_for"], { label: label.value }),
          onchange: (event) => {
            const name = event.target.value.trim();
            if (name && name !== label.value) names[label.value] = name; else delete names[label.value];
            mine = JSON.stringify({ labels: given.labels, names });
            props.value = mine;
            trigger("renamed");
          },
        });
        return [
          make("span", { class: "value", text: label.value, title: label.value }), make("span", { class: "arrow", text: "→", "aria-hidden": "true" }), field,
          make("span", { class: "number", text: count(label.count) }),
          make("span", { class: "bar" }, make("i", { style: `width:${(100 * label.count) / most}%` })),
        ];
      })));
    }
    watch("value", show);
    show();
  }

  return { labelNames };
})());
