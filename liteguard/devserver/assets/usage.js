// How a guard has been used lately, on its page.
import { inEnvironment } from "./api.js";
import { CallSites } from "./callsites.js";
import { Chart } from "./chart.js";
import { count } from "./format.js";
import { html } from "./html.js";
import { useData } from "./live.js";
import { Problem } from "./parts.js";

/** The card: the last hour, and where the guard is asked for. */
export function Usage({ environment, name }) {
  const query = new URLSearchParams({ guard: name, minutes: "60" });
  const { data, error, reload } = useData(inEnvironment(environment, `activity?${query}`), ["signals"]);
  return html`<section class="card" aria-labelledby="usage">
    <header>
      <h2 id="usage">Last hour</h2>
      <div class="end legend">
        <span class="open">open ${data ? count(data.total.open) : ""}</span>
        <span>closed ${data ? count(data.total.closed) : ""}</span>
      </div>
    </header>
    <${Problem} error=${error} onRetry=${reload} />
    <div class="body"><${Chart} activity=${data} height=${130} /></div>
    ${data?.callSites.length ? html`<${CallSites} sites=${data.callSites.slice(0, 5)} />` : null}
  </section>`;
}
