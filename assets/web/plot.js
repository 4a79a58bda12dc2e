/* A plotly figure made by the server, in the colours of the page, light or dark. */
"use strict";

Object.assign(Studio, (() => {
  const { colour, seriesColours, canDraw } = Studio;

  function themed(layout) {
    const ink = colour("--body-text-color-subdued"), lines = colour("--border-color-primary");
    const axis = (given) => ({ gridcolor: lines, zerolinecolor: lines, automargin: true, ...given });
    return {
      ...layout, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
      font: { family: colour("--font"), size: 12, color: ink },
      colorway: seriesColours(3),
      xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
      hoverlabel: { bgcolor: colour("--background-fill-primary"), font: { color: colour("--body-text-color") } },
    };
  }

  /** Plotly takes a cell's shade for its colour, without what shines through: numbers in the page's ink can be read. */
  const inked = (trace) => (trace.texttemplate && trace.type === "heatmap" ? { ...trace, textfont: { color: colour("--body-text-color") } } : trace);

  /** `value` is {"data": […], "layout": {…}}; marks without a colour take the page's. */
  function plot(element, props, watch) {
    const box = Studio.make("div", { class: "chart" });
    element.replaceChildren(box);
    let drawn = "";
    function draw(force) {
      const figure = Studio.parsed(props.value);
      if (!figure) { if (drawn) Plotly.purge(box); drawn = ""; box.replaceChildren(); box.removeAttribute("style"); return; }
      if (!box.offsetParent || (!force && drawn === props.value)) return;
      if (!canDraw(() => draw(force))) return;
      drawn = props.value;
      Plotly.react(box, figure.data.map(inked), themed(figure.layout), { displayModeBar: false, responsive: true });
    }
    watch("value", () => draw());
    document.addEventListener("studio-theme", () => draw(true));
    new ResizeObserver(() => draw()).observe(element);
    draw();
  }

  return { plot };
})());
