/* What all charts share: the page's colours, the layout of a curve, and plotly's script, which only charts need. */
"use strict";

Object.assign(Studio, (() => {
  const { make } = Studio;
  const SCRIPT = "/plotly.js", AGAIN_MS = 2000, MOST_MARKED = 40;

  const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  const seriesColours = (count) => Array.from({ length: count }, (_, place) => colour(`--studio-series-${place + 1}`));

  function chartLayout(title, extra = {}) {
    const ink = colour("--body-text-color-subdued"), lines = colour("--border-color-primary");
    return {
      datarevision: extra.revision,
      title: { text: title, font: { size: 13, color: colour("--body-text-color") }, x: 0, xanchor: "left", xref: "paper", pad: { t: 4 }, y: 0.97 },
      margin: { l: 48, r: 12, t: 34, b: 36 }, height: 300, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
      font: { family: colour("--font"), size: 12, color: ink }, hovermode: "x unified",
      hoverlabel: { bgcolor: colour("--background-fill-primary"), font: { color: colour("--body-text-color") } },
      modebar: { bgcolor: "transparent", color: ink, activecolor: colour("--body-text-color") },
      legend: { orientation: "h", y: -0.2, x: 0 },
      xaxis: { gridcolor: lines, zeroline: false, title: { text: extra.xTitle, standoff: 4 }, rangemode: "tozero", ...extra.x },
      yaxis: { gridcolor: lines, zeroline: false, automargin: true, ...extra.y }, shapes: extra.shapes ?? [], annotations: extra.annotations ?? [],
    };
  }
  const chartOptions = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"], displayModeBar: "hover" };
  /** Marks, as long as they stand apart. */
  const curveMode = (points) => (points.length > MOST_MARKED ? "lines" : "lines+markers");

  let fetched = null;
  /** Asks for the script until it is there. */
  const fetchScript = () => new Promise((resolve) => {
    const attempt = () => {
      const script = make("script", { src: SCRIPT, onload: resolve, onerror: () => { script.remove(); setTimeout(attempt, AGAIN_MS); } });
      document.head.append(script);
    };
    attempt();
  });

  /** Whether `Plotly` is there. If not, its 5 MB are fetched, and `draw` is called when they have come. */
  function canDraw(draw) {
    if (typeof Plotly !== "undefined") return true;
    fetched ??= fetchScript();
    fetched.then(draw);
    return false;
  }

  return { colour, seriesColours, chartLayout, chartOptions, curveMode, canDraw };
})());
