// Tokens: made, shown once, disabled.
import { useState } from "preact/hooks";

import { call } from "./api.js";
import { ago, moment } from "./format.js";
import { html } from "./html.js";
import { useData } from "./live.js";
import { Code, Problem, Switch, useNow } from "./parts.js";

const SOURCES = { start: "at a start", seed: "seed file", management: "here" };

/** The card. */
export function Tokens({ environment, issued, onIssued }) {
  const { data, error, reload } = useData("tokens", ["tokens", "polls"]);
  const [failure, setFailure] = useState(null);
  const now = useNow();
  const attempt = async (action) => {
    try {
      await action();
      setFailure(null);
    } catch (problem) {
      setFailure(problem);
    }
    reload();
  };
  const make = () => attempt(async () => onIssued(await call("POST", "tokens", { environment })));
  const tokens = (data?.tokens ?? []).filter((its) => its.environment === null || its.environment === environment);
  return html`<section class="card" aria-labelledby="tokens">
    <header>
      <h2 id="tokens">Tokens</h2>
      <span class="hint">of this environment, and those that open all</span>
      <div class="end"><button class="button small" onClick=${make}>New token</button></div>
    </header>
    ${issued
      ? html`<div class="body"><div class="note good" role="status">This is the new token. Copy it now: it is kept as a digest and cannot be shown again.</div>
          <${Code} text=${issued.token} label="New token" /></div>`
      : null}
    <${Problem} error=${error ?? failure} />
    <div class="scroll"><table>
      <thead><tr>
        <th>Token</th><th class="hide-small">Made</th><th class="hide-small">For</th><th class="number">Last used</th><th class="number">Accepted</th>
      </tr></thead>
      <tbody>${[...tokens].reverse().map((its) => html`<tr key=${its.id}>
        <td>No. ${its.id}</td>
        <td class="hide-small" title=${moment(its.createdMs)}>${ago(its.createdMs, now)}, ${SOURCES[its.source]}</td>
        <td class="hide-small">${its.environment ?? "all environments"}</td>
        <td class="number quiet">${its.lastUsedMs === null ? "never" : ago(its.lastUsedMs, now)}</td>
        <td class="number"><${Switch}
          on=${!its.disabled}
          label=${`Token ${its.id} accepted`}
          onChange=${(on) => attempt(() => call("PATCH", `tokens/${its.id}`, { disabled: !on }))}
        /></td>
      </tr>`)}</tbody>
    </table></div>
    <p class="hint line-only">
      Two tokens made here can be valid at a time: make the next one, give it to your applications,
      and disable the old one when it is no longer used. A disabled token is refused at once.
    </p>
  </section>`;
}
