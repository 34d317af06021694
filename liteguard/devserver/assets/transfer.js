// Export and import of all guards.
import { useState } from "preact/hooks";

import { call } from "./api.js";
import { many } from "./format.js";
import { html } from "./html.js";
import { Problem } from "./parts.js";

/** The card. */
export function Transfer() {
  const [replaces, setReplaces] = useState(false);
  const [outcome, setOutcome] = useState(null);
  const [error, setError] = useState(null);
  const attempt = async (action) => {
    try {
      setOutcome(await action());
      setError(null);
    } catch (problem) {
      setOutcome(null);
      setError(problem);
    }
  };
  const take = (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) attempt(async () => told(await call("POST", `import?replace=${replaces}`, parsed(await file.text()))));
  };
  return html`<section class="card" aria-labelledby="transfer">
    <header><h2 id="transfer">Export and import</h2><span class="hint">all environments and guards as JSON, without tokens</span></header>
    <div class="body">
      <div class="line">
        <button class="button" onClick=${() => attempt(download)}>Export</button>
        <label class="button file">Import…<input type="file" accept=".json,application/json" onChange=${take} /></label>
        <label class="line"><input type="checkbox" checked=${replaces} onChange=${(event) => setReplaces(event.target.checked)} />replace guards that are here already</label>
      </div>
      <${Problem} error=${error} />
      ${outcome ? html`<div class="note good" role="status">${outcome}</div>` : null}
      <p class="hint">The file can also be given to <code>liteguard dev --seed</code>.</p>
    </div>
  </section>`;
}

async function download() {
  const text = JSON.stringify(await call("GET", "export"), null, 2);
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = "liteguard-guards.json";
  link.click();
  URL.revokeObjectURL(address);
  return null;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("this file is not JSON; an export of this page is");
  }
}

function told({ added, replaced, kept }) {
  return `${many(added, "guard")} added, ${replaced} replaced, ${kept} left as they were.`;
}
