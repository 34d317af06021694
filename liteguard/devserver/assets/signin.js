// Asking for the management password.
import { useState } from "preact/hooks";

import { call } from "./api.js";
import { html } from "./html.js";
import { Field, Problem } from "./parts.js";

/** The form that stands before everything where a password is set. */
export function SignIn({ onSignedIn }) {
  const [password, setPassword] = useState("");
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await call("POST", "session", { password });
      onSignedIn();
    } catch (problem) {
      setError(new Error(problem.message));
    }
  };
  return html`<main class="sign-in">
    <form class="card" onSubmit=${submit}>
      <div class="body">
        <div class="brand">
          <img src="/assets/icon.svg" alt="" width="26" height="26" />Liteguard <small>local</small>
        </div>
        <input type="text" autocomplete="username" value="liteguard" hidden readonly />
        <${Field} label="Management password" id="password">
          <input
            id="password"
            type="password"
            autocomplete="current-password"
            required
            autofocus
            value=${password}
            aria-invalid=${String(Boolean(error))}
            onInput=${(event) => setPassword(event.target.value)}
          />
        <//>
        <${Problem} error=${error} />
        <button class="button main">Sign in</button>
        <p class="hint">It was set where <code>liteguard dev</code> was started.</p>
      </div>
    </form>
  </main>`;
}
