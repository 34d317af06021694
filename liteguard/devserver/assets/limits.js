// Rate limits of a guard, in force and on trial, and whether checks are measured.
import { html } from "./html.js";
import { Field, Switch } from "./parts.js";

/** The card of both limits. */
export function Limits({ draft, wrong, edit }) {
  return html`<section class="card" aria-labelledby="limits">
    <header>
      <h2 id="limits">Limits</h2>
      <span class="hint">how often a minute the guard may be open, on each host</span>
    </header>
    <div class="body">
      <${Limit}
        title="Rate limit"
        hint="beyond it, checks are closed"
        place="rateLimit"
        limit=${draft.rateLimit}
        wrong=${wrong}
        onChange=${edit("rateLimit")}
      />
      <hr />
      <${Limit}
        title="Dry run"
        hint="counted and reported; no answer changes"
        place="dryRunRateLimit"
        limit=${draft.dryRunRateLimit}
        wrong=${wrong}
        onChange=${edit("dryRunRateLimit")}
      />
      <hr />
      <div class="line">
        <span><strong>Measurement</strong> <span class="hint">memory, processor time and durations with each signal</span></span>
        <span class="push"><${Switch}
          on=${!draft.disableMeasurement}
          label="Measurement"
          onChange=${(on) => edit("disableMeasurement")(!on)}
        /></span>
      </div>
    </div>
  </section>`;
}

function Limit({ title, hint, place, limit, wrong, onChange }) {
  const set = (fields) => onChange({ ...limit, ...fields });
  const isTrial = "dryRunId" in limit;
  return html`<div class="stack">
    <div class="line">
      <span><strong>${title}</strong> <span class="hint">${hint}</span></span>
      <span class="push"><${Switch} on=${limit.isOn} label=${title} onChange=${(isOn) => set({ isOn })} /></span>
    </div>
    ${limit.isOn
      ? html`<div class="limit">
          ${isTrial ? html`<${Text} label="Name of the trial" name="dryRunId" ...${{ place, limit, wrong, set }} />` : null}
          <${Text} label="Open checks per minute" name="requestsPerMinute" mode="numeric" ...${{ place, limit, wrong, set }} />
          <${Text} label="Counted apart by (properties)" name="partitionProperties" placeholder="user_id, …" ...${{ place, limit, wrong, set }} />
        </div>`
      : null}
  </div>`;
}

function Text({ label, name, mode, placeholder, place, limit, wrong, set }) {
  const id = `${place}.${name}`;
  return html`<${Field} ...${{ label, id }} wrong=${wrong[id]}>
    <input
      id=${id}
      inputmode=${mode}
      placeholder=${placeholder}
      autocomplete="off"
      value=${limit[name]}
      aria-invalid=${String(Boolean(wrong[id]))}
      aria-describedby=${`${id}-wrong`}
      onInput=${(event) => set({ [name]: event.target.value })}
    />
  <//>`;
}
