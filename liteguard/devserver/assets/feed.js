// Signals as they arrive.
import { useEffect, useRef, useState } from "preact/hooks";

import { inEnvironment } from "./api.js";
import { clock, duration, moment, properties } from "./format.js";
import { html } from "./html.js";
import { useData } from "./live.js";
import { Answer, Choice, Problem } from "./parts.js";
import { Link } from "./place.js";

const KINDS = [
  ["all", "All"],
  ["executions", "Executions"],
  ["limits", "Rate limits"],
];
const FILTERS = {
  all: {},
  executions: { kind: "guard_execution" },
  limits: { rate_limited: "true" },
};
const SHOWN = 100;
const EMPTY = {
  all: "Nothing yet. Applications send their signals about once a minute, and when they end.",
  executions: "No executions yet: client.execute_if_open(…) reports how long guarded code took and how it ended.",
  limits: "No rate limit has decided yet: set one, in force or as a dry run, on a guard's page.",
};

/** The card, newest signal first. */
export function Feed({ environment, guard }) {
  const [kind, setKind] = useState("all");
  const [isPaused, setIsPaused] = useState(false);
  const query = new URLSearchParams({ newest_first: "true", limit: String(SHOWN), ...FILTERS[kind] });
  if (guard !== null) query.set("guard", guard);
  const path = inEnvironment(environment, `signals?${query}`);
  const { data, error, reload } = useData(path, isPaused ? [] : ["signals"]);
  const held = useRef(null);
  useEffect(() => {
    held.current = null;
  }, [path]);
  if (!isPaused || !held.current) held.current = data;
  const signals = held.current?.signals ?? [];
  const turn = () => {
    setIsPaused(!isPaused);
    if (isPaused) reload();
  };
  return html`<section class="card" aria-labelledby="feed">
    <header>
      <h2 id="feed">Signals</h2>
      <span class="hint hide-small">${isPaused ? "paused" : "as they arrive, the newest first"}</span>
      <div class="end">
        <${Choice} label="Kind of signals" options=${KINDS} value=${kind} onChange=${setKind} />
        <button class="button small" aria-pressed=${String(isPaused)} onClick=${turn}>
          ${isPaused ? "Go on" : "Pause"}
        </button>
      </div>
    </header>
    <${Problem} error=${error} onRetry=${reload} />
    ${signals.length || !data
      ? html`<div class="feed">${signals.map((signal) => html`<${Signal} key=${signal.id} signal=${signal} />`)}</div>`
      : html`<p class="quiet line-only">${EMPTY[kind]}</p>`}
  </section>`;
}

function Signal({ signal }) {
  const [isOpen, setIsOpen] = useState(false);
  return html`<details open=${isOpen} onToggle=${(event) => setIsOpen(event.target.open)}>
    <summary>
      <span class="quiet">${clock(signal.timestampMs)}</span>
      <span><${Outcome} signal=${signal} /></span>
      <span class="name cut">${signal.guardName}</span>
      <span class="mono quiet cut">${properties(signal.properties)}</span>
      <span class="quiet mono cut">${signal.durationNs === null ? signal.callsiteId : duration(signal.durationNs)}</span>
    </summary>
    ${isOpen ? html`<${Facts} signal=${signal} />` : null}
  </details>`;
}

function Outcome({ signal }) {
  if (signal.kind !== "guard_execution") return html`<${Answer} isOpen=${signal.result} />`;
  return signal.errorClass
    ? html`<span class="pill bad">failed</span>`
    : html`<span class="pill accent">ran</span>`;
}

function Facts({ signal }) {
  const limits = (signal.rateLimitDecisions ?? []).map(limit).join("; ");
  const facts = [
    ["Guard", html`<${Link} class="name" to=${{ view: "/guard", guard: signal.guardName }}>${signal.guardName}<//>`],
    ["Happened", moment(signal.timestampMs)],
    ["Arrived", moment(signal.receivedMs)],
    ["Kind", signal.kind],
    ["Duration", signal.durationNs === null ? "" : duration(signal.durationNs)],
    ["Error", signal.errorClass],
    ["Rate limits", limits],
    ["Properties", properties(signal.properties) || "none"],
    ["Call site", signal.callsiteId],
    ["Process", [signal.pid, signal.userAgent].filter(Boolean).join(", ")],
    ["Execution", signal.executionId],
    ["Dropped before it", signal.droppedSignalsSinceLast || ""],
    ["Delivered", signal.deliveries > 1 ? `${signal.deliveries} times` : "once"],
    ["Measurement", signal.measurement ? JSON.stringify(signal.measurement) : ""],
  ];
  return html`<dl class="facts">
    ${facts.map(([name, its]) => (its ? html`<dt>${name}</dt><dd>${its}</dd>` : null))}
  </dl>`;
}

function limit(decision) {
  const { outcome, evaluationTarget, dryRunId, requestsPerMinute, countInWindow, partitionValues } = decision;
  const target = evaluationTarget === "dry_run" ? `dry run ${dryRunId}` : "in force";
  const parts = partitionValues && Object.keys(partitionValues).length ? `, ${JSON.stringify(partitionValues)}` : "";
  return `${target}: ${String(outcome).replaceAll("_", " ")} (${countInWindow} of ${requestsPerMinute} a minute${parts})`;
}
