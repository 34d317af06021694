// Where in the page the user is: the address, and links that change it.
import { useEffect, useState } from "preact/hooks";

import { html } from "./html.js";

const REMEMBERED = "liteguard-environment";
const readers = new Set();

/** Return the place that the address names. */
export function here() {
  const query = new URLSearchParams(location.search);
  return {
    view: location.pathname,
    environment: query.get("env") || remembered() || "default",
    guard: query.get("guard"),
  };
}

/** Return the address of a place; what is left out stays as it is. */
export function address({ view = "/", environment = here().environment, guard = null }) {
  const query = new URLSearchParams({ env: environment });
  if (guard !== null) query.set("guard", guard);
  return `${view}?${query}`;
}

/** Go to a place. */
export function go(place) {
  history.pushState(null, "", address(place));
  if (place.environment) remember(place.environment);
  scrollTo(0, 0);
  readers.forEach((reader) => reader(here()));
}

/** Return the place, always the present one. */
export function usePlace() {
  const [place, setPlace] = useState(here());
  useEffect(() => {
    const moved = () => setPlace(here());
    readers.add(setPlace);
    addEventListener("popstate", moved);
    return () => {
      readers.delete(setPlace);
      removeEventListener("popstate", moved);
    };
  }, []);
  return place;
}

/** A link to a place. */
export function Link({ to, children, ...more }) {
  const follow = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(to);
  };
  return html`<a href=${address(to)} onClick=${follow} ...${more}>${children}</a>`;
}

function remembered() {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}

function remember(environment) {
  try {
    localStorage.setItem(REMEMBERED, environment);
  } catch {
    // The address carries it anyway.
  }
}
