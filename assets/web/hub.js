/* Finding a data set on the Hub: a field whose words are searched for as they are typed, and the list of what was found. */
"use strict";

Object.assign(Studio, (() => {
  const { make, parsed } = Studio;
  const PAUSE_MS = 350;

  function found(result, words, picked, pick) {
    const facts = result.facts.map((fact) => make("span", { class: "chip", text: fact }));
    return make("li", {}, make("button", {
      type: "button", class: "hit", "data-dataset": result.id, "aria-pressed": result.id === picked ? "true" : "false",
      onclick: () => pick(result.id),
    }, make("span", { class: "hit-line" }, make("strong", { text: result.id }), ...facts),
    result.about ? make("span", { class: "muted", text: result.about }) : null));
  }

  /** `value` is {"words": {…}, "asked", "results": […], "said", "picked"}. Typing makes it {"asked": text} and calls
   *  `searched`; a click on a result, or Enter on an id, makes it {"asked", "picked": id} and calls `chosen`. */
  function hubSearch(element, props, searched, chosen, watch) {
    const first = parsed(props.value) ?? {};
    const words = first.words;
    let waiting = 0, last = first;
    const input = make("input", {
      type: "search", placeholder: words.placeholder, "aria-label": words.label, autocomplete: "off", spellcheck: "false", maxlength: 200,
      oninput: () => { clearTimeout(waiting); waiting = setTimeout(search, PAUSE_MS); },
      onkeydown: (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        clearTimeout(waiting);
        if (/^(hub:)?[\w.-]+\/[\w.-]+$|^https?:/.test(input.value.trim())) pick(input.value.trim()); else search();
      },
    });
    const said = make("p", { class: "muted", role: "status" }), list = make("ul", { class: "hits" });
    element.append(input, said, list);

    function tell(value, call) {
      props.value = JSON.stringify({ ...value, at: Date.now() });
      call();
    }
    function search() {
      const asked = input.value.trim();
      if (!asked) { list.replaceChildren(); said.textContent = ""; return; }
      said.textContent = words.searching;
      tell({ asked }, searched);
    }
    function pick(id) {
      clearTimeout(waiting);
      last = { ...last, picked: id };
      for (const hit of list.querySelectorAll(".hit")) hit.setAttribute("aria-pressed", String(hit.dataset.dataset === id));
      tell({ asked: input.value.trim(), picked: id }, chosen);
    }
    function show() {
      const given = parsed(props.value);
      // An answer to words that have been typed over since is not shown.
      if (!given?.results || given.asked !== input.value.trim()) return;
      last = given;
      said.textContent = given.said ?? "";
      list.replaceChildren(...given.results.map((result) => found(result, words, given.picked, pick)));
    }
    watch("value", show);
  }

  return { hubSearch };
})());
