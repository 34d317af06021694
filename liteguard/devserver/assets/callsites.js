// The places in applications that ask for guards.
import { ago, count } from "./format.js";
import { html } from "./html.js";
import { useNow } from "./parts.js";

/** A table of them; with *names* it says whose each is. */
export function CallSites({ sites, names = false }) {
  const now = useNow();
  return html`<div class="scroll"><table>
    <thead><tr>
      <th>Call site</th>
      ${names ? html`<th class="hide-small">Guard</th>` : null}
      <th class="number">Open</th>
      <th class="number">Closed</th>
      ${names ? html`<th class="number hide-small">Executions</th>` : null}
      <th class="number hide-small">Last</th>
    </tr></thead>
    <tbody>${sites.map((site) => html`<tr key=${`${site.guardName} ${site.callSite}`}>
      <td class="mono anywhere">${site.callSite || "unknown"}</td>
      ${names ? html`<td class="hide-small mono anywhere">${site.guardName}</td>` : null}
      <td class="number">${count(site.open)}</td>
      <td class="number">${count(site.closed)}</td>
      ${names ? html`<td class="number hide-small">${count(site.executions)}</td>` : null}
      <td class="number hide-small quiet">${ago(site.lastSeenMs, now)}</td>
    </tr>`)}</tbody>
  </table></div>`;
}
