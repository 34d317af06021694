// Icons: a few strokes each.
import { html } from "./html.js";

const PATHS = {
  guards: "M12 3l7 2.6v5.9c0 4.3-3 7.4-7 8.9-4-1.500-7-4.600-7-8.900V5.600z M9 11.800l2.200 2.200 4-4.300",
  monitor: "M3 12h4l2.500-7 4.500 14 2.500-7H21",
  processes: "M4 5h16v6H4z M4 14h16v5H4z M7.500 8h.01 M7.500 16.500h.01",
  setup: "M5 7h9 M18 7h1 M5 17h1 M10 17h9 M16 5v4 M8 15v4",
  search: "M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13z M15.500 15.500L20 20",
  up: "M6 14.500l6-6 6 6",
  down: "M6 9.500l6 6 6-6",
  remove: "M6 6l12 12 M18 6L6 18",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z M12 2.500v2 M12 19.500v2 M2.500 12h2 M19.500 12h2 M5.300 5.300l1.400 1.400 M17.300 17.300l1.400 1.400 M18.700 5.300l-1.400 1.400 M6.700 17.300l-1.400 1.400",
  moon: "M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z",
  system: "M4 5h16v11H4z M9 20h6 M12 16v4",
};

/** Show one of the icons above. */
export function Icon({ name }) {
  return html`<svg
    viewBox="0 0 24 24"
    fill="none"
    stroke="currentColor"
    stroke-width="1.8"
    stroke-linecap="round"
    stroke-linejoin="round"
    aria-hidden="true"
  ><path d=${PATHS[name]} /></svg>`;
}
