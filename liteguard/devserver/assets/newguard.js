// The dialog that makes a guard.
import { useState } from "preact/hooks";

import { call, inEnvironment } from "./api.js";
import { html } from "./html.js";
import { AnswerChoice, Dialog, Field, Problem } from "./parts.js";

/** Ask for a name and a default. */
export function NewGuard({ environment, onMade, onClose }) {
  const [name, setName] = useState("");
  const [defaultValue, setDefault] = useState(false);
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      const fields = { name, adopted: true, defaultValue };
      await call("POST", inEnvironment(environment, "guards"), fields);
      onMade(name);
    } catch (problem) {
      setError(problem);
    }
  };
  const isWrong = error?.field === "name";
  return html`<${Dialog} title="New guard" onClose=${onClose}>
    <form onSubmit=${submit}>
      <h2>New guard</h2>
      <${Field} label="Name" id="new-name" wrong=${isWrong ? error.message : ""}>
        <input
          id="new-name"
          class="mono"
          required
          maxlength="200"
          placeholder="payments.checkout"
          autocomplete="off"
          value=${name}
          aria-invalid=${String(isWrong)}
          aria-describedby="new-name-wrong"
          onInput=${(event) => setName(event.target.value)}
        />
      <//>
      <div class="line">
        <span class="label">Answer where no rule matches</span>
        <${AnswerChoice} label="Default" value=${defaultValue} onChange=${setDefault} />
      </div>
      ${isWrong ? null : html`<${Problem} error=${error} />`}
      <div class="line">
        <button type="button" class="button push" onClick=${onClose}>Cancel</button>
        <button class="button main">Make it</button>
      </div>
    </form>
  <//>`;
}
