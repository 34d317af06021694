// How numbers, times and values are written.

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** Write a count. */
export function count(value) {
  return number.format(value);
}

/** Write a rate: one decimal where that still tells something. */
export function rate(value) {
  return value && value < 100 ? small.format(value) : number.format(value);
}

/** Write a share of one as a percentage; never 0 % or 100 % unless it is exactly that. */
export function percent(share) {
  if (share > 0 && share < 0.01) return "<1 %";
  if (share < 1 && share > 0.99) return ">99 %";
  return `${Math.round(share * 100)} %`;
}

/** Write how long ago something was. */
export function ago(then, now) {
  const seconds = Math.max(0, Math.round((now - then) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

/** Write a time of day. */
export function clock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}

/** Write a date with its time. */
export function moment(ms) {
  return new Date(ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

/** Write a duration given in nanoseconds. */
export function duration(ns) {
  if (ns < 1e6) return `${small.format(ns / 1e3)} µs`;
  if (ns < 1e9) return `${small.format(ns / 1e6)} ms`;
  return `${small.format(ns / 1e9)} s`;
}

/** Write a property's value so that its type can be seen. */
export function value(of) {
  return typeof of === "string" ? `"${of}"` : JSON.stringify(of);
}

/** Write properties on one line. */
export function properties(of) {
  return Object.entries(of)
    .map(([name, its]) => `${name}=${value(its)}`)
    .join("  ");
}

/** Write an answer. */
export function answer(isOpen) {
  return isOpen ? "open" : "closed";
}

/** Write a number with its unit, in the right number. */
export function many(n, one, more = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : more}`;
}
