// The Guards tab: every guard on one line, and those that nobody has adopted yet.
import { useState } from "preact/hooks";

import { call, guardPath, inEnvironment } from "./api.js";
import { ago, many, percent, rate } from "./format.js";
import { html } from "./html.js";
import { useData } from "./live.js";
import { NewGuard } from "./newguard.js";
import { Code, Problem, Search, Switch, useNow } from "./parts.js";
import { Link, go } from "./place.js";

const FIRST_SHOWN = 100;
const ORDERS = {
  name: (a, b) => (a.name < b.name ? -1 : 1),
  checksPerMinute: (a, b) => b.checksPerMinute - a.checksPerMinute,
  openShare: (a, b) => (b.openShare ?? -1) - (a.openShare ?? -1),
  lastSeenMs: (a, b) => (b.lastSeenMs ?? 0) - (a.lastSeenMs ?? 0),
};
const EXAMPLE = `from liteguard import LiteguardClient

client = LiteguardClient()
client.start()
print(client.is_open("payments.checkout"))
client.shutdown()`;

/** The tab. */
export function Guards({ environment }) {
  const path = inEnvironment(environment, "overview");
  const { data, error, reload } = useData(path, ["guards", "observations", "signals"]);
  const [sought, setSought] = useState("");
  const [failure, setFailure] = useState(null);
  const [isAdding, setIsAdding] = useState(false);
  const change = async (action) => {
    try {
      await action();
      setFailure(null);
    } catch (problem) {
      setFailure(problem);
    }
    reload();
  };
  const matches = (line) => line.name.toLowerCase().includes(sought.trim().toLowerCase());
  const parts = { environment, change, sought };
  return html`<div class="view-head">
      <h1>Guards</h1>
      <div class="end">
        <${Search} label="Search guards" value=${sought} onInput=${setSought} />
        <button class="button main" onClick=${() => setIsAdding(true)}>New guard</button>
      </div>
    </div>
    <div class="stack">
      <${Problem} error=${error} onRetry=${reload} />
      <${Problem} error=${failure} />
      ${data ? html`<${Lists} data=${data} matches=${matches} ...${parts} />` : null}
    </div>
    ${isAdding
      ? html`<${NewGuard}
          environment=${environment}
          onClose=${() => setIsAdding(false)}
          onMade=${(guard) => go({ view: "/guard", guard })}
        />`
      : null}`;
}

function Lists({ data, matches, ...parts }) {
  if (!data.guards.length && !data.unadopted.length) return html`<${Welcome} />`;
  return html`<${Unadopted} lines=${data.unadopted.filter(matches)} ...${parts} />
    <${Adopted} lines=${data.guards.filter(matches)} total=${data.guards.length} ...${parts} />`;
}

function Welcome() {
  return html`<section class="card">
    <div class="empty">
      <h2>No guards yet</h2>
      <p>
        Ask for a guard in your application: it appears here by itself, and you decide what it
        answers. This program asks for one; the address and token that it needs are under${" "}
        <${Link} to=${{ view: "/setup" }}><u>Setup</u><//>.
      </p>
      <${Code} text=${EXAMPLE} label="Example of a check" />
      <p>An unknown guard is closed until you adopt it, so code can go out before the guard exists.</p>
    </div>
  </section>`;
}

function Unadopted({ lines, environment, change, sought }) {
  const now = useNow();
  return html`<section class="card" aria-labelledby="unadopted">
    <header>
      <h2 id="unadopted">Unadopted</h2>
      <span class="hint">asked for by applications; closed until you adopt them</span>
    </header>
    ${lines.length
      ? html`<div class="scroll"><table class="rows">
          <thead><tr><th>Guard</th><th class="hide-small">Observed</th><th class="number hide-small">Last seen</th><td></td></tr></thead>
          <tbody>${lines.map((line) => html`<tr key=${line.name}>
            <td><span class="name">${line.name}</span><span class="only-small quiet">${observed(line)}</span></td>
            <td class="hide-small quiet">${observed(line)}</td>
            <td class="number hide-small quiet">${line.lastSeenMs === null ? "never" : ago(line.lastSeenMs, now)}</td>
            <td class="number">
              <button
                class="button small main"
                aria-label=${`Adopt ${line.name}`}
                onClick=${() => change(() => call("POST", guardPath(environment, line.name, "/adopt")))}
              >Adopt</button>
            </td>
          </tr>`)}</tbody>
        </table></div>`
      : html`<p class="quiet line-only">${sought ? "None matches the search." : "None. A check of a guard that is not known here shows up at once."}</p>`}
  </section>`;
}

function observed(line) {
  if (!line.checkCount) return "not asked for yet";
  const speed = line.checkCount > 1 ? `, about ${rate(line.estimatedChecksPerMinute)} a minute` : "";
  return `${many(line.checkCount, "check")}${speed}`;
}

function Adopted({ lines, total, environment, change, sought }) {
  const [order, setOrder] = useState("name");
  const [shown, setShown] = useState(FIRST_SHOWN);
  const now = useNow(shown > FIRST_SHOWN ? 10_000 : 1000);
  const sorted = [...lines].sort(ORDERS[order]);
  const heading = (key, text, kind) => html`<th
    class=${kind}
    aria-sort=${order === key ? (key === "name" ? "ascending" : "descending") : undefined}
  ><button class="sort" onClick=${() => setOrder(key)}>${text}${order !== key ? "" : key === "name" ? " ↑" : " ↓"}</button></th>`;
  return html`<section class="card" aria-labelledby="adopted">
    <header><h2 id="adopted">Adopted</h2><span class="hint">${many(total, "guard")}</span></header>
    ${sorted.length
      ? html`<div class="scroll"><table class="rows">
          <thead><tr>
            ${heading("name", "Guard")}
            <th class="hide-medium">State</th>
            <th>Default</th>
            <th class="number hide-medium">Rules</th>
            ${heading("checksPerMinute", "Checks / min", "number")}
            ${heading("openShare", "Open share", "number hide-small")}
            ${heading("lastSeenMs", "Last seen", "number hide-small")}
          </tr></thead>
          <tbody>${sorted.slice(0, shown).map(
            (line) => html`<${Line} key=${line.name} ...${{ line, now, environment, change }} />`,
          )}</tbody>
        </table></div>`
      : html`<p class="quiet line-only">${sought ? "None matches the search." : "None yet: adopt one above, or make a new one."}</p>`}
    ${sorted.length > shown
      ? html`<div class="line-only"><button class="button small" onClick=${() => setShown(Infinity)}>
          Show all ${sorted.length}
        </button></div>`
      : null}
  </section>`;
}

function Line({ line, now, environment, change }) {
  const patch = (fields) => change(() => call("PATCH", guardPath(environment, line.name), fields));
  return html`<tr>
    <td>
      <${Link} class="name" to=${{ view: "/guard", guard: line.name }}>${line.name}<//>
      ${line.rules ? html`<span class="only-medium quiet">${many(line.rules, "rule")}</span>` : null}
    </td>
    <td class="hide-medium"><${State} line=${line} /></td>
    <td><${Switch}
      on=${line.defaultValue}
      label=${`Default of ${line.name}`}
      text=${line.defaultValue ? "open" : "closed"}
      onChange=${(defaultValue) => patch({ defaultValue })}
    /></td>
    <td class="number hide-medium">${line.rules || html`<span class="quiet">0</span>`}</td>
    <td class="number">${rate(line.checksPerMinute)}</td>
    <td class="number hide-small"><${Share} share=${line.openShare} /></td>
    <td class="number hide-small quiet">${line.lastSeenMs === null ? "never" : ago(line.lastSeenMs, now)}</td>
  </tr>`;
}

function State({ line }) {
  const byRules = line.rules > 0;
  const kind = byRules ? "accent" : line.defaultValue ? "open" : "";
  const text = byRules ? "by rules" : line.defaultValue ? "open" : "closed";
  return html`<span class="line tight">
    <span class=${`pill ${kind}`}>${text}</span>
    ${line.limited ? html`<span class="pill warn hide-small">rate limit</span>` : null}
  </span>`;
}

function Share({ share }) {
  if (share === null) return html`<span class="quiet">no checks</span>`;
  return html`<span class="share" title="of the checks of the last hour">
    <i><b style=${{ width: `${share * 100}%` }}></b></i><span>${percent(share)}</span>
  </span>`;
}
