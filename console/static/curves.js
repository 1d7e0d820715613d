// A curve of the last ten minutes, drawn by uPlot in the page's own colours.

import { html, useEffect, useRef } from "/static/vendor/htm-preact.js";
import uPlot from "/static/vendor/uplot.js";

const HEIGHT = 150;
const TEN_MINUTES = 600;

export function Curve({ title, at, lines, format, said }) {
  const box = useRef(null);
  const plot = useRef(null);
  const drawn = useRef(0);
  const labels = lines.map(([label]) => label).join();

  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      drawn.current = 0;
      plot.current = new uPlot(options(box.current, lines, format), [[], ...lines.map(() => [])], box.current);
    };
    draw();
    const resized = new ResizeObserver(() => plot.current.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    resized.observe(box.current);
    addEventListener("recolour", draw);
    return () => {
      resized.disconnect();
      removeEventListener("recolour", draw);
      plot.current.destroy();
    };
  }, [labels]);

  useEffect(() => {
    const last = at.at(-1);
    if (!last || last === drawn.current) return;
    drawn.current = last;
    plot.current.setData([at, ...lines.map(([, values]) => values)], false);
    plot.current.batch(() => {
      plot.current.setScale("x", { min: last - TEN_MINUTES, max: last });
      plot.current.setScale("y", { min: 0, max: Math.max(...lines.flatMap(([, values]) => values), 0) * 1.1 || 1 });
    });
  });

  return html`
    <figure class="curve">
      <figcaption>
        ${title}
        <span class="legend" aria-hidden="true">${lines.map(([label, , colour]) => html`<span><i class=${colour.slice(2)}></i>${label}</span>`)}</span>
      </figcaption>
      <div ref=${box} role="img" aria-label=${said}></div>
    </figure>
  `;
}

function options(box, lines, format) {
  const styles = getComputedStyle(document.documentElement);
  const colour = (name) => styles.getPropertyValue(name).trim();
  const axis = { stroke: colour("--faint-text"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    padding: [8, 4, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: true, auto: false }, y: { auto: false } },
    axes: [
      { ...axis, space: 70, size: 24, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })) },
      { ...axis, space: 32, size: 52, values: (_, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {},
      ...lines.map(([label, , name]) => ({ label, stroke: colour(name), width: 1.75, points: { show: false }, spanGaps: false })),
    ],
  };
}
