// What the server tells as it happens, and data that follows it.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { call } from "./api.js";

const RETRY_MS = 2000;
const PAUSES = 4;
const LONGEST_PAUSE_MS = 3000;

const readers = new Set();
const watchers = new Set();
const underWay = new Map();
let source = null;
let state = "connecting";
let isWanted = false;

/** Follow the server's news from now on, while the page is looked at. */
export function connect() {
  isWanted = true;
  open();
}

/** Stop following. */
export function disconnect() {
  isWanted = false;
  close();
}

function open() {
  close();
  // Browsers hold few connections to a host: pages in the background must leave some.
  if (!isWanted || document.hidden) return;
  const stream = new EventSource("/manage/v1/events");
  source = stream;
  stream.onopen = () => turn("live");
  stream.onmessage = (event) => {
    const topics = JSON.parse(event.data);
    // An empty one comes first, when something may have been missed, and now and then.
    tell(topics.length ? topics : ["time"]);
  };
  stream.onerror = () => {
    turn("lost");
    // A refused stream is not opened again by itself.
    if (stream.readyState !== EventSource.CLOSED) return;
    setTimeout(() => (source === stream ? open() : undefined), RETRY_MS);
  };
}

function close() {
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));

/** Return "connecting", "live" or "lost". */
export function useConnection() {
  const [now, setNow] = useState(state);
  useEffect(() => {
    watchers.add(setNow);
    setNow(state);
    return () => watchers.delete(setNow);
  }, []);
  return now;
}

/**
 * Return what a path of the API answers, read anew when one of *topics* changes.
 *
 * While it is read again the earlier answer stays, so that nothing jumps.
 */
export function useData(path, topics) {
  const [result, setResult] = useState({ path, data: null, error: null });
  const latest = useRef(path);
  latest.current = path;
  const pending = useRef({ isRunning: false, isStale: false, retry: 0 });

  const load = useCallback(async () => {
    const loading = pending.current;
    if (loading.isRunning) {
      loading.isStale = true;
      return;
    }
    loading.isRunning = true;
    clearTimeout(loading.retry);
    do {
      loading.isStale = false;
      const asked = latest.current;
      const started = performance.now();
      const found = await attempt(asked);
      if (latest.current !== asked) {
        loading.isStale = true;
        continue;
      }
      setResult((before) => merged(before, asked, found));
      if (mayRecover(found.error)) loading.retry = setTimeout(load, RETRY_MS);
      // However fast news come in, reading takes up a fifth of the time at most.
      const taken = performance.now() - started;
      if (loading.isStale) await pause(Math.min(PAUSES * taken, LONGEST_PAUSE_MS));
    } while (loading.isStale);
    loading.isRunning = false;
  }, []);

  useEffect(() => {
    load();
  }, [path]);
  useEffect(() => () => clearTimeout(pending.current.retry), []);
  useEffect(() => {
    const reader = (changed) => {
      if (changed.some((topic) => topic === "time" || topics.includes(topic))) load();
    };
    readers.add(reader);
    return () => readers.delete(reader);
  }, [topics.join()]);

  const isCurrent = result.path === path;
  return {
    data: isCurrent ? result.data : null,
    error: isCurrent ? result.error : null,
    reload: load,
  };
}

/** Read a path; those who ask upon the same news share one answer. */
function attempt(path) {
  if (!underWay.has(path)) {
    const forget = () => {
      if (underWay.get(path) === answer) underWay.delete(path);
    };
    const answer = call("GET", path)
      .then((data) => ({ data, error: null }), (error) => ({ data: null, error }))
      .finally(forget);
    underWay.set(path, answer);
  }
  return underWay.get(path);
}

/** Tell whether asking again may help: what the server refuses stays refused. */
function mayRecover(error) {
  return error !== null && (!error.status || error.status >= 500);
}

function merged(before, path, found) {
  const earlier = before.path === path ? before.data : null;
  return { path, data: found.data ?? (found.error?.status === 404 ? null : earlier), error: found.error };
}

function pause(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

function tell(topics) {
  underWay.clear(); // an answer under way may be older than the news
  readers.forEach((reader) => reader(topics));
}

function turn(next) {
  state = next;
  watchers.forEach((watcher) => watcher(next));
}
