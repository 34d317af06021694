// The editor of a guard's rules.
import { OPERATORS, newRule, takesMany } from "./draft.js";
import { answer } from "./format.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { AnswerChoice, Switch } from "./parts.js";
import { ValueFields } from "./values.js";

const OUTCOMES = {
  matched: "matches too",
  not_matched: "does not match",
  disabled: "disabled",
  never_matches: "never matches",
};

/** All rules, in the order in which they are tried. */
export function Rules({ rules, wrong, trial, guard, onChange }) {
  const replace = (index, next) => onChange(rules.map((rule, at) => (at === index ? next : rule)));
  const move = (index, by) => {
    const moved = [...rules];
    moved.splice(index + by, 0, ...moved.splice(index, 1));
    onChange(moved);
  };
  const isDefault = trial?.reason === "default_value";
  return html`<section class="card" aria-labelledby="rules">
    <header>
      <h2 id="rules">Rules</h2>
      <span class="hint">tried from the top; the first that matches decides</span>
      <div class="end">
        <button class="button small" onClick=${() => onChange([...rules, newRule()])}>Add rule</button>
      </div>
    </header>
    ${rules.map(
      (rule, index) => html`<${Rule}
        key=${rule.key}
        ...${{ rule, index, wrong, trial }}
        isLast=${index === rules.length - 1}
        onChange=${(next) => replace(index, next)}
        onMove=${(by) => move(index, by)}
        onRemove=${() => onChange(rules.filter((_, at) => at !== index))}
      />`,
    )}
    <p class=${`otherwise ${isDefault ? "decides" : ""}`}>
      <span class="quiet">${rules.length ? "Otherwise the default:" : "No rules: every check gets the default,"}</span>
      ${" "}<strong>${answer(guard.defaultValue)}</strong>
    </p>
  </section>`;
}

function Rule({ rule, index, isLast, wrong, trial, onChange, onMove, onRemove }) {
  const place = `rules.${index}`;
  const number = index + 1;
  const set = (fields) => onChange({ ...rule, ...fields });
  const decides = trial?.matchedRuleIndex === index;
  const outcome = trial?.rules[index]?.outcome;
  return html`<div
    class=${`rule ${rule.enabled ? "" : "off"} ${decides ? "decides" : ""}`}
    role="group"
    aria-label=${`Rule ${number}`}
  >
    <div class="line">
      <strong>Rule ${number}</strong>
      ${outcome
        ? html`<span class=${`pill ${decides ? "accent" : ""}`}>${decides ? "decides" : OUTCOMES[outcome]}</span>`
        : null}
      <span class="line tight push">
        <${Switch} on=${rule.enabled} label=${`Rule ${number} enabled`} onChange=${(enabled) => set({ enabled })} />
        <${Tool} icon="up" label=${`Move rule ${number} up`} disabled=${index === 0} onClick=${() => onMove(-1)} />
        <${Tool} icon="down" label=${`Move rule ${number} down`} disabled=${isLast} onClick=${() => onMove(1)} />
        <${Tool} icon="remove" label=${`Remove rule ${number}`} onClick=${onRemove} />
      </span>
    </div>
    <div class="fields">
      <${Property} ...${{ rule, place, wrong, number, set }} />
      <div class="field">
        <label for=${`${place}.operator`}>Operator</label>
        <select id=${`${place}.operator`} value=${rule.operator} onChange=${(event) => set(operated(rule, event.target.value))}>
          ${OPERATORS.map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}
        </select>
      </div>
      <${ValueFields} ...${{ rule, place, wrong, set }} />
      <div class="field">
        <span class="label">Answer</span>
        <${AnswerChoice} label=${`Answer of rule ${number}`} value=${rule.result} onChange=${(result) => set({ result })} />
      </div>
    </div>
  </div>`;
}

function Property({ rule, place, wrong, set }) {
  const id = `${place}.propertyName`;
  return html`<div class="field">
    <label for=${id}>Property</label>
    <input
      id=${id}
      class="mono"
      maxlength="200"
      placeholder="plan"
      autocomplete="off"
      spellcheck=${false}
      list="known-properties"
      value=${rule.propertyName}
      aria-invalid=${String(Boolean(wrong[id]))}
      aria-describedby=${`${id}-wrong`}
      onInput=${(event) => set({ propertyName: event.target.value })}
    />
    ${wrong[id] ? html`<span class="wrong" id=${`${id}-wrong`}>${wrong[id]}</span>` : null}
  </div>`;
}

function Tool({ icon, label, disabled, onClick }) {
  return html`<button type="button" class="button icon" aria-label=${label} title=${label} ...${{ disabled, onClick }}>
    <${Icon} name=${icon} />
  </button>`;
}

function operated(rule, operator) {
  // Values that the operator does not look at would be kept without being seen.
  const values = takesMany(operator) ? rule.values : rule.values.slice(0, 1);
  const texts = operator === "REGEX" ? values.map(({ text }) => ({ type: "text", text })) : values;
  return { operator, values: texts.length ? texts : [{ type: "text", text: "" }] };
}
