// What happened to a guard, and taking it back.
import { useState } from "preact/hooks";

import { call, inEnvironment } from "./api.js";
import { ago, answer, many, moment } from "./format.js";
import { html } from "./html.js";
import { useData } from "./live.js";
import { Problem, useNow } from "./parts.js";

/** The card. */
export function History({ environment, name, reload }) {
  const query = new URLSearchParams({ guard: name, limit: "30" });
  const { data, error } = useData(inEnvironment(environment, `changes?${query}`), ["guards"]);
  const [failure, setFailure] = useState(null);
  const now = useNow();
  const undo = async (id) => {
    try {
      await call("POST", inEnvironment(environment, `changes/${id}/undo`));
      setFailure(null);
      reload();
    } catch (problem) {
      setFailure(problem);
    }
  };
  const changes = data?.changes ?? [];
  return html`<section class="card" aria-labelledby="history">
    <header><h2 id="history">History</h2></header>
    <${Problem} error=${error ?? failure} />
    <ol class="history">
      ${changes.map((change, index) => html`<li key=${change.id}>
        <span>
          ${describe(change).map((text) => html`<span class="block">${text}</span>`)}
          <time class="hint" title=${moment(change.changedMs)}>${ago(change.changedMs, now)}</time>
        </span>
        ${index && !change.before
          ? null
          : html`<button
              class="button small push"
              title=${index ? "Make the guard what it was before this change" : ""}
              aria-label=${`${index ? "Go back to before" : "Undo"}: ${describe(change).join(", ")}`}
              onClick=${() => undo(change.id)}
            >${index ? "Go back" : "Undo"}</button>`}
      </li>`)}
      ${data && !changes.length ? html`<li class="quiet">No changes yet.</li>` : null}
    </ol>
  </section>`;
}

/** Say in words what a change did. */
export function describe({ before, after }) {
  if (!before) return ["made"];
  if (!after) return ["deleted"];
  const told = [];
  if (before.adopted !== after.adopted) told.push(after.adopted ? "adopted" : "no longer adopted");
  if (before.defaultValue !== after.defaultValue) {
    told.push(`default ${answer(before.defaultValue)} → ${answer(after.defaultValue)}`);
  }
  if (differ(before.rules, after.rules)) told.push(rules(before.rules, after.rules));
  if (differ(before.rateLimit, after.rateLimit)) told.push(`rate limit ${limit(after.rateLimit)}`);
  if (differ(before.dryRunRateLimit, after.dryRunRateLimit)) told.push(`dry run ${limit(after.dryRunRateLimit)}`);
  if (before.disableMeasurement !== after.disableMeasurement) {
    told.push(after.disableMeasurement ? "measurement off" : "measurement on");
  }
  return told.length ? told : ["saved again"];
}

function differ(one, other) {
  return JSON.stringify(one) !== JSON.stringify(other);
}

function rules(before, after) {
  if (before.length === after.length) return "rules changed";
  return `${before.length} → ${many(after.length, "rule")}`;
}

function limit(its) {
  return its ? `${its.requestsPerMinute} a minute` : "removed";
}
