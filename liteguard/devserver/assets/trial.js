// Trying a guard out: properties in, answer and reason out.
import { useEffect, useState } from "preact/hooks";

import { call, inEnvironment } from "./api.js";
import { fieldsOf, valueFrom } from "./draft.js";
import { answer } from "./format.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { useData } from "./live.js";
import { Problem } from "./parts.js";
import { ValueField } from "./values.js";

const PAUSE_MS = 150;
const EMPTY = { name: "", type: "text", text: "" };

/** The card; the answer goes to *onAnswer*, so that the rules can show their part in it. */
export function Trial({ environment, name, guard, trial, onAnswer }) {
  const [rows, setRows] = useState(null);
  const [error, setError] = useState(null);
  const shown = rows ?? suggested(guard);
  const asked = guard && JSON.stringify({ guard, properties: propertiesOf(shown) });
  useEffect(() => {
    if (!asked) {
      onAnswer(null);
      return undefined;
    }
    let isCurrent = true;
    const timer = setTimeout(async () => {
      try {
        const found = await call("POST", "trials", JSON.parse(asked));
        if (isCurrent) onAnswer(found);
        setError(null);
      } catch (problem) {
        if (isCurrent) onAnswer(null);
        setError(problem);
      }
    }, PAUSE_MS);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [asked]);
  const replace = (index, next) => setRows(shown.map((row, at) => (at === index ? next : row)));
  return html`<section class="card" aria-labelledby="trial">
    <header><h2 id="trial">Try it</h2><span class="hint">with these properties</span></header>
    <div class="body">
      ${shown.map((row, index) => html`<${Row}
        key=${index}
        ...${{ row, index }}
        onChange=${(next) => replace(index, next)}
        onRemove=${() => setRows(shown.filter((_, at) => at !== index))}
      />`)}
      <div class="line">
        <button class="button small" onClick=${() => setRows([...shown, EMPTY])}>Add property</button>
        <${Recent} ...${{ environment, name }} onChoose=${setRows} />
      </div>
      <${Verdict} ...${{ trial, guard }} />
      <${Problem} error=${error} />
    </div>
  </section>`;
}

function Row({ row, index, onChange, onRemove }) {
  const number = index + 1;
  return html`<div class="property">
    <input
      class="mono"
      aria-label=${`Name of property ${number}`}
      placeholder="property"
      autocomplete="off"
      spellcheck=${false}
      list="known-properties"
      value=${row.name}
      onInput=${(event) => onChange({ ...row, name: event.target.value })}
    />
    <${ValueField}
      id=${`property-${index}`}
      label=${`value of property ${number}`}
      fields=${row}
      onChange=${(fields) => onChange({ ...row, ...fields })}
    />
    <button type="button" class="button icon" aria-label=${`Remove property ${number}`} onClick=${onRemove}><${Icon} name="remove" /></button>
  </div>`;
}

function Recent({ environment, name, onChoose }) {
  const query = new URLSearchParams({ guard: name, newest_first: "true", limit: "50" });
  const { data } = useData(inEnvironment(environment, `signals?${query}`), ["signals"]);
  const checks = (data?.signals ?? []).filter((signal) => Object.keys(signal.properties).length);
  const names = [...new Set(checks.flatMap((signal) => Object.keys(signal.properties)))];
  const fill = () => {
    const scalars = Object.entries(checks[0].properties).filter(([, value]) => value === null || typeof value !== "object");
    onChoose(scalars.map(([its, value]) => ({ name: its, ...fieldsOf(value) })));
  };
  return html`<datalist id="known-properties">${names.map((its) => html`<option key=${its} value=${its}></option>`)}</datalist>
    <button class="button small" disabled=${!checks.length} onClick=${fill}>Use the last check's</button>`;
}

function Verdict({ trial, guard }) {
  if (!guard) return html`<div class="verdict"><span class="quiet">Mend the marked fields to try it.</span></div>`;
  if (!trial) return html`<div class="verdict"></div>`;
  return html`<div class=${`verdict ${trial.isOpen ? "open" : ""}`} role="status">
    <strong>${answer(trial.isOpen)}</strong>
    <span>${reason(trial)}${guard.rateLimit ? "; the rate limit may still close it" : ""}</span>
  </div>`;
}

function reason(trial) {
  if (trial.reason === "matched_rule") return `rule ${trial.matchedRuleIndex + 1} decides`;
  if (trial.reason === "unadopted") return "it is not adopted";
  return trial.rules.length ? "no rule matches: the default decides" : "there are no rules: the default decides";
}

function suggested(guard) {
  const names = [...new Set((guard?.rules ?? []).map((rule) => rule.propertyName))].filter(Boolean);
  return names.length ? names.map((name) => ({ ...EMPTY, name })) : [EMPTY];
}

function propertiesOf(rows) {
  const found = {};
  for (const row of rows) {
    const value = valueFrom(row);
    // A field left empty means a property that is not there.
    const isGiven = row.type !== "text" || row.text !== "";
    if (row.name && isGiven && value !== undefined) found[row.name] = value;
  }
  return found;
}
