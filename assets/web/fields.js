/* One field for each column that a run's texts are composed of. */
"use strict";

Object.assign(Studio, (() => {
  const { make, parsed } = Studio;
  const PAUSE_MS = 250;

  /** `value` is {"columns": [name, …]}; typing makes it {"columns", "cells": [text, …]} and then calls `typed`. */
  function columnFields(element, props, typed, watch) {
    let mine = null, waiting = 0;
    function show() {
      if (props.value === mine) return; // what was typed here comes back: the fields stay as they are
      clearTimeout(waiting);
      element.replaceChildren();
      const { columns = [], cells = [] } = parsed(props.value) ?? {}; // with cells where hidden fields come back
      const fields = columns.map((column) => make("textarea", {
        rows: 2, maxlength: 100000, "data-column": column,
        oninput: () => {
          // The value is there at once, for a click right after the last key; only its preview can wait.
          mine = JSON.stringify({ columns, cells: fields.map((field) => field.value) });
          props.value = mine;
          clearTimeout(waiting);
          waiting = setTimeout(typed, PAUSE_MS);
        },
      }));
      fields.forEach((field, index) => { field.value = cells[index] ?? ""; });
      element.append(...columns.map((column, index) => make("label", {}, make("span", { text: column }), fields[index])));
    }
    watch("value", show);
    show();
  }

  return { columnFields };
})());
