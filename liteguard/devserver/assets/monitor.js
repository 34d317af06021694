// The Monitor tab: what applications do with guards, as it happens.
import { useState } from "preact/hooks";

import { inEnvironment } from "./api.js";
import { CallSites } from "./callsites.js";
import { Chart } from "./chart.js";
import { count, duration, many, percent, rate } from "./format.js";
import { Feed } from "./feed.js";
import { html } from "./html.js";
import { useData } from "./live.js";
import { Choice, Problem } from "./parts.js";
import { go } from "./place.js";

const SPANS = [[15, "15 min"], [60, "1 h"], [360, "6 h"]];

/** The tab; with *guard* for that one alone. */
export function Monitor({ environment, guard }) {
  const [minutes, setMinutes] = useState(60);
  const query = new URLSearchParams({ minutes: String(minutes) });
  if (guard !== null) query.set("guard", guard);
  const { data, error, reload } = useData(inEnvironment(environment, `activity?${query}`), ["signals"]);
  return html`<div class="view-head">
      <h1>Monitor</h1>
      <div class="end">
        <${GuardChoice} environment=${environment} guard=${guard} />
        <${Choice} label="Span" options=${SPANS} value=${minutes} onChange=${setMinutes} />
      </div>
    </div>
    <div class="stack">
      <${Problem} error=${error} onRetry=${reload} />
      <${Tiles} data=${data} />
      <section class="card" aria-labelledby="per-minute">
        <header>
          <h2 id="per-minute">Checks per minute</h2>
          <div class="end legend"><span class="open">open</span><span>closed</span></div>
        </header>
        <div class="body"><${Chart} activity=${data} /></div>
      </section>
      ${data ? html`<${Details} ...${{ environment, guard, data, minutes }} />` : null}
    </div>`;
}

function Details({ environment, guard, data, minutes }) {
  return html`${guard === null ? html`<${Busiest} guards=${data.guards} minutes=${minutes} />` : null}
      <${Feed} ...${{ environment, guard }} />
      <section class="card" aria-labelledby="call-sites">
        <header><h2 id="call-sites">Call sites</h2><span class="hint">where applications ask, the latest first</span></header>
        ${data.callSites.length
          ? html`<${CallSites} sites=${data.callSites} names=${guard === null} />`
          : html`<p class="quiet line-only">None yet.</p>`}
      </section>`;
}

function GuardChoice({ environment, guard }) {
  const { data } = useData(inEnvironment(environment, "overview"), ["guards"]);
  const names = (data?.guards ?? []).map((line) => line.name);
  const choose = (event) => go({ view: "/monitor", guard: event.target.value || null });
  return html`<select class="guard-choice" aria-label="Guard" value=${guard ?? ""} onChange=${choose}>
    <option value="">All guards</option>
    ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
    ${guard !== null && !names.includes(guard) ? html`<option value=${guard}>${guard}</option>` : null}
  </select>`;
}

function Tiles({ data }) {
  const total = data?.total;
  const checks = total ? total.open + total.closed : 0;
  const tile = (name, text, more) => html`<div>
    <dt>${name}</dt><dd>${total ? text : "–"} <small>${total ? more : ""}</small></dd>
  </div>`;
  return html`<dl class="tiles">
    ${tile("Checks", count(checks), checks ? `${percent(total.open / checks)} open` : "")}
    ${tile("Executions", count(total?.executions), total?.executions ? `mean ${duration(total.durationNs / total.executions)}` : "")}
    ${tile("Errors", count(total?.failures), total?.executions ? percent(total.failures / total.executions) : "")}
    ${tile("Rate limited", count(total?.limited), total?.wouldLimit ? `dry run ${count(total.wouldLimit)}` : "")}
    ${tile("Dropped", count(total?.dropped), total?.dropped ? "by clients" : "")}
  </dl>`;
}

function Busiest({ guards, minutes }) {
  return html`<section class="card" aria-labelledby="busiest">
    <header><h2 id="busiest">Guards</h2><span class="hint">those with the most checks</span></header>
    ${guards.length
      ? html`<div class="scroll capped"><table class="rows">
          <thead><tr>
            <th>Guard</th><th class="number">Checks / min</th><th class="number">Open share</th>
            <th class="number hide-small">Executions</th><th class="number hide-small">Errors</th>
            <th class="number hide-small">Limited</th><th class="number hide-small">Dropped</th>
          </tr></thead>
          <tbody>${guards.map((line) => html`<${BusyLine} key=${line.guardName} ...${{ line, minutes }} />`)}</tbody>
        </table></div>`
      : html`<p class="quiet line-only">No checks in this span. Applications send theirs about once a minute.</p>`}
  </section>`;
}

function BusyLine({ line, minutes }) {
  const checks = line.open + line.closed;
  const name = line.guardName;
  return html`<tr>
    <td><button
      class="plain name"
      title="Show this guard alone"
      onClick=${() => go({ view: "/monitor", guard: name })}
    >${name}</button></td>
    <td class="number">${rate(checks / minutes)}</td>
    <td class="number">${checks ? percent(line.open / checks) : "–"}</td>
    <td class="number hide-small" title=${line.executions ? `mean ${duration(line.durationNs / line.executions)}` : many(0, "execution")}>${count(line.executions)}</td>
    <td class="number hide-small">${count(line.failures)}</td>
    <td class="number hide-small">${count(line.limited)}</td>
    <td class="number hide-small">${count(line.dropped)}</td>
  </tr>`;
}
