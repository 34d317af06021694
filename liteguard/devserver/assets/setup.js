// The Setup tab: how an application finds this backend, and what the backend keeps.
import { useState } from "preact/hooks";

import { call } from "./api.js";
import { EnvironmentSettings } from "./environments.js";
import { html } from "./html.js";
import { Choice, Code } from "./parts.js";
import { Tokens } from "./tokens.js";
import { Transfer } from "./transfer.js";

const PLACEHOLDER = "pct-…";
const SAMPLES = {
  python: (its) => `from liteguard import LiteguardClient

client = LiteguardClient(
    "${its.token}",
    environment="${its.environment}",
    backend_url="${its.url}",
)
client.start()

if client.is_open("payments.checkout", properties={"plan": "pro"}):
    ...`,
  variables: (its) => `export LITEGUARD_BACKEND_URL=${its.url}
export LITEGUARD_TOKEN=${its.token}
export LITEGUARD_ENVIRONMENT=${its.environment}`,
  curl: (its) => `curl ${its.url}/api/v1/guards \\
  -H 'Authorization: Bearer ${its.token}' \\
  -H 'X-Liteguard-Environment: ${its.environment}' \\
  --json '{"projectClientToken": "${its.token}", "environment": "${its.environment}"}'`,
};
const LANGUAGES = [["python", "Python"], ["variables", "Variables"], ["curl", "curl"]];

/** The tab. */
export function Setup({ environment, session, onSignedOut }) {
  const [issued, setIssued] = useState(null);
  return html`<div class="view-head">
      <h1>Setup</h1>
      ${session.passwordRequired
        ? html`<div class="end"><button class="button" onClick=${() => call("DELETE", "session").then(onSignedOut)}>Sign out</button></div>`
        : null}
    </div>
    <div class="stack">
      <${Sample} environment=${environment} token=${issued?.token} />
      <${Tokens} ...${{ environment, issued }} onIssued=${setIssued} />
      <${EnvironmentSettings} environment=${environment} />
      <${Transfer} />
    </div>`;
}

function Sample({ environment, token }) {
  const [language, setLanguage] = useState("python");
  const text = SAMPLES[language]({ environment, url: location.origin, token: token ?? PLACEHOLDER });
  return html`<section class="card" aria-labelledby="connect">
    <header>
      <h2 id="connect">Connect an application</h2>
      <div class="end"><${Choice} label="Language" options=${LANGUAGES} value=${language} onChange=${setLanguage} /></div>
    </header>
    <div class="body">
      <${Code} text=${text} label="How to connect" />
      <p class="hint">${token
        ? "The token is filled in. It is not shown again once you leave this page."
        : "Put in your token: the one that liteguard dev printed when it started, or a new one from below."}</p>
    </div>
  </section>`;
}
