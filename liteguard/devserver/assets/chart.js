// Checks per minute, drawn by uPlot.
import { useEffect, useRef } from "preact/hooks";

import { html } from "./html.js";

const MINUTE_MS = 60000;

/** Open and closed checks of each minute of an activity's span. */
export function Chart({ activity, height = 220 }) {
  const box = useRef(null);
  const drawn = useRef(null);
  const latest = useRef(activity);
  latest.current = activity;
  useEffect(() => {
    const frame = box.current;
    const draw = () => {
      drawn.current?.destroy();
      drawn.current = plot(frame, seriesOf(latest.current), height);
    };
    const system = matchMedia("(prefers-color-scheme: dark)");
    const sizes = new ResizeObserver(() => {
      if (frame.isConnected) drawn.current?.setSize({ width: frame.clientWidth, height });
    });
    draw();
    sizes.observe(frame);
    system.addEventListener("change", draw);
    addEventListener("liteguard-theme", draw);
    return () => {
      sizes.disconnect();
      system.removeEventListener("change", draw);
      removeEventListener("liteguard-theme", draw);
      drawn.current.destroy();
      drawn.current = null;
    };
  }, [height]);
  useEffect(() => {
    drawn.current?.setData(seriesOf(activity));
  }, [activity]);
  const total = activity ? activity.total.open + activity.total.closed : 0;
  return html`<div
    ref=${box}
    class="chart"
    style=${{ height: `${height}px` }}
    role="img"
    aria-label=${`Checks per minute: ${total} in all, ${activity?.total.open ?? 0} of them open`}
  ></div>`;
}

function seriesOf(activity) {
  if (!activity) return [[], [], []];
  const times = [];
  const byTime = new Map(activity.minutes.map((minute) => [minute.startMs, minute]));
  for (let ms = activity.sinceMs; ms <= activity.nowMs; ms += MINUTE_MS) times.push(ms);
  // The minute under way shows once it has something: it would look like a fall.
  if (!byTime.has(times.at(-1))) times.pop();
  return [
    times.map((ms) => ms / 1000),
    times.map((ms) => byTime.get(ms)?.closed ?? 0),
    times.map((ms) => byTime.get(ms)?.open ?? 0),
  ];
}

function plot(box, data, height) {
  const muted = colour(box, "--muted");
  const axis = {
    stroke: muted,
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour(box, "--line"), width: 1 },
    ticks: { show: false },
  };
  const line = (label, name) => ({
    label,
    stroke: colour(box, name),
    fill: colour(box, name, 0.14),
    width: 2,
    points: { show: false },
    paths: window.uPlot.paths.stepped({ align: 1 }),
  });
  return new window.uPlot(
    {
      width: box.clientWidth,
      height,
      padding: [10, 16, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (_, __, most) => [0, Math.max(4, most * 1.15)] } },
      axes: [
        { ...axis, values: (_, times) => times.map(clock), space: 70, size: 26 },
        { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7] },
      ],
      series: [{}, line("closed", "--chart-closed"), line("open", "--chart-open")],
    },
    data,
    box,
  );
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

/** Return a colour of the style sheet as a canvas takes it. */
function colour(box, name, opacity = 1) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  box.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g);
  probe.remove();
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`;
}
