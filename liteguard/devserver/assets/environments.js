// Environments: how often their clients ask, and new ones.
import { useState } from "preact/hooks";

import { call, inEnvironment } from "./api.js";
import { html } from "./html.js";
import { useData } from "./live.js";
import { Field, Problem } from "./parts.js";
import { go } from "./place.js";

/** The card. */
export function EnvironmentSettings({ environment }) {
  const { data, error } = useData(inEnvironment(environment, "").slice(0, -1), ["environments"]);
  const [seconds, setSeconds] = useState(null);
  const [name, setName] = useState("");
  const [failure, setFailure] = useState(null);
  const attempt = (action) => async (event) => {
    event.preventDefault();
    try {
      await action();
      setFailure(null);
    } catch (problem) {
      setFailure(problem);
    }
  };
  const save = attempt(async () => {
    const fields = { refreshRateSeconds: Number(seconds ?? data.refreshRateSeconds) };
    await call("PATCH", inEnvironment(environment, "").slice(0, -1), fields);
    setSeconds(null);
  });
  const make = attempt(async () => {
    await call("POST", "environments", { name });
    go({ view: "/setup", environment: name });
  });
  const wrong = (field) => (failure?.field === field ? failure.message : "");
  return html`<section class="card" aria-labelledby="environment">
    <header><h2 id="environment">Environment</h2><span class="hint">${environment}</span></header>
    <div class="body">
      <${Problem} error=${error} />
      <form class="line ends" onSubmit=${save}>
        <${Field} label="Shortest interval at which clients ask, in seconds; 0 leaves it to them" id="seconds" wrong=${wrong("refreshRateSeconds")}>
          <input id="seconds" inputmode="decimal" required autocomplete="off" value=${seconds ?? data?.refreshRateSeconds ?? ""} onInput=${(event) => setSeconds(event.target.value)} />
        <//>
        <button class="button" disabled=${seconds === null}>Save</button>
      </form>
      <hr />
      <form class="line ends" onSubmit=${make}>
        <${Field} label="Another environment: letters, digits, dots, dashes" id="new-environment" wrong=${wrong("name")}>
          <input id="new-environment" required maxlength="200" placeholder="staging" autocomplete="off" value=${name} onInput=${(event) => setName(event.target.value)} />
        <//>
        <button class="button">Make it</button>
      </form>
      ${failure && !["refreshRateSeconds", "name"].includes(failure.field) ? html`<${Problem} error=${failure} />` : null}
    </div>
  </section>`;
}
