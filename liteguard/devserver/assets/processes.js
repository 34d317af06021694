// The Processes tab: who has spoken lately.
import { inEnvironment } from "./api.js";
import { ago, count, many, moment } from "./format.js";
import { html } from "./html.js";
import { useData } from "./live.js";
import { Problem, useNow } from "./parts.js";
import { Link } from "./place.js";

const LATELY_MS = 150_000; // two and a half of a client's usual intervals

/** The tab. */
export function Processes({ environment }) {
  const path = inEnvironment(environment, "processes");
  const { data, error, reload } = useData(path, ["polls", "signals", "observations"]);
  const now = useNow();
  const processes = data?.processes ?? [];
  const polling = processes.filter((its) => polls(its, now)).length;
  return html`<div class="view-head">
      <h1>Processes</h1>
      <span class="hint">${data ? `${many(data.total, "process", "processes")}; ${polling} asking for guards now` : "…"}</span>
    </div>
    <div class="stack">
      <${Problem} error=${error} onRetry=${reload} />
      ${data && !processes.length ? html`<${Nobody} />` : null}
      ${processes.length
        ? html`<section class="card"><div class="scroll"><table class="rows">
            <thead><tr>
              <th>Host</th><th>Pid</th><th class="hide-small">SDK</th><th>Asks</th>
              <th class="number hide-small">Last poll</th><th class="number">Last signal</th>
              <th class="number hide-small">Polls</th><th class="number hide-small">Signals</th>
            </tr></thead>
            <tbody>${processes.map((its) => html`<${Line} key=${`${its.process} ${its.pid}`} ...${{ its, now }} />`)}</tbody>
          </table></div></section>`
        : null}
      ${data ? html`<p class="hint">
        One process of each host asks for guards and shares them with the others, so most of them
        never poll. A process that has not spoken for a while may have ended.
      </p>` : null}
    </div>`;
}

function Nobody() {
  return html`<section class="card"><div class="empty">
    <h2>No process has spoken yet</h2>
    <p>
      A process shows up here when it first asks for guards or sends signals. Start one with the
      address and token from <${Link} to=${{ view: "/setup" }}><u>Setup</u><//>.
    </p>
  </div></section>`;
}

function Line({ its, now }) {
  return html`<tr>
    <td class="mono">${its.address}</td>
    <td class="mono" title=${`process ${its.process}`}>${its.pid}</td>
    <td class="hide-small">${its.userAgent}</td>
    <td>${polls(its, now)
      ? html`<span class="pill open">polls</span>`
      : html`<span class="pill">${its.lastPollMs === null ? "follows" : "no longer"}</span>`}</td>
    <${Moment} ms=${its.lastPollMs} now=${now} kind="hide-small" />
    <${Moment} ms=${its.lastSignalMs} now=${now} />
    <td class="number hide-small">${count(its.polls)}</td>
    <td class="number hide-small">${count(its.signals)}</td>
  </tr>`;
}

function Moment({ ms, now, kind = "" }) {
  if (ms === null) return html`<td class=${`number quiet ${kind}`}>never</td>`;
  return html`<td class=${`number ${kind}`} title=${moment(ms)}>${ago(ms, now)}</td>`;
}

function polls(its, now) {
  return its.lastPollMs !== null && now - its.lastPollMs < LATELY_MS;
}
