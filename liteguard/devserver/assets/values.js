// Values with their types, as they are entered.
import { takesMany } from "./draft.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";

const TYPES = [
  ["text", "text"],
  ["number", "number"],
  ["boolean", "true/false"],
  ["null", "null"],
];

/** The values of a rule. */
export function ValueFields({ rule, place, wrong, set }) {
  const isMany = takesMany(rule.operator);
  const replace = (index, next) => set({ values: rule.values.map((value, at) => (at === index ? next : value)) });
  const remove = (index) => set({ values: rule.values.filter((_, at) => at !== index) });
  const whole = wrong[`${place}.values`];
  return html`<div class="field">
    <span class="label">${isMany ? "Values" : "Value"}</span>
    <div class="values">
      ${rule.values.map((fields, index) => {
        const id = `${place}.values.${index}`;
        return html`<div class=${`value ${isMany ? "" : "single"}`} key=${index}>
            <${ValueField}
              id=${id}
              label=${`value ${index + 1} of rule ${Number(place.split(".")[1]) + 1}`}
              wrong=${wrong[id] || (index === 0 && whole)}
              onlyText=${rule.operator === "REGEX"}
              fields=${fields}
              onChange=${(next) => replace(index, next)}
            />
            ${isMany
              ? html`<button type="button" class="button icon" aria-label=${`Remove value ${index + 1}`} onClick=${() => remove(index)}><${Icon} name="remove" /></button>`
              : null}
          </div>
          ${wrong[id] ? html`<span class="wrong" id=${`${id}-wrong`}>${wrong[id]}</span>` : null}`;
      })}
      ${isMany
        ? html`<button type="button" class="button small start" onClick=${() => set({ values: [...rule.values, { type: rule.values.at(-1)?.type ?? "text", text: "" }] })}>Add value</button>`
        : null}
    </div>
    ${whole ? html`<span class="wrong" id=${`${place}.values.0-wrong`}>${whole}</span>` : null}
  </div>`;
}

/** One value: its type, and what it is. */
export function ValueField({ id, label, wrong, onlyText, fields, onChange }) {
  const { type, text } = fields;
  const retyped = (next) => onChange({ type: next, text: next === "boolean" ? String(text === "true") : text });
  const types = onlyText ? TYPES.slice(0, 1) : TYPES;
  return html`<select aria-label=${`Type of ${label}`} value=${type} onChange=${(event) => retyped(event.target.value)}>
      ${types.map(([key, its]) => html`<option key=${key} value=${key}>${its}</option>`)}
    </select>
    ${type === "boolean"
      ? html`<select id=${id} aria-label=${label} value=${text} onChange=${(event) => onChange({ type, text: event.target.value })}>
          <option value="true">true</option>
          <option value="false">false</option>
        </select>`
      : html`<input
          id=${id}
          class="mono"
          aria-label=${label}
          aria-invalid=${String(Boolean(wrong))}
          aria-describedby=${`${id}-wrong`}
          inputmode=${type === "number" ? "decimal" : undefined}
          autocomplete="off"
          spellcheck=${false}
          disabled=${type === "null"}
          value=${type === "null" ? "" : text}
          placeholder=${type === "null" ? "null" : ""}
          onInput=${(event) => onChange({ type, text: event.target.value })}
        />`}`;
}
