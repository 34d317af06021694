// Small parts that all views use.
import { useEffect, useRef, useState } from "preact/hooks";

import { serverNow } from "./api.js";
import { answer } from "./format.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";

/** An on-off switch, for keyboard and mouse. */
export function Switch({ on, label, text, disabled, onChange }) {
  return html`<button
    type="button"
    class="switch"
    role="switch"
    aria-checked=${String(on)}
    aria-label=${label}
    disabled=${disabled}
    onClick=${() => onChange(!on)}
  ><i></i>${text ? html`<span>${text}</span>` : null}</button>`;
}

/** One of a few choices. */
export function Choice({ label, options, value, onChange, kind = "" }) {
  return html`<div class=${`choice ${kind}`} role="group" aria-label=${label}>
    ${options.map(
      ([key, text]) => html`<button
        type="button"
        key=${key}
        class=${kind && key === true ? "open" : ""}
        aria-pressed=${String(key === value)}
        onClick=${() => onChange(key)}
      >${text}</button>`,
    )}
  </div>`;
}

/** Open or closed, to choose. */
export function AnswerChoice({ label, value, onChange }) {
  const options = [[false, "closed"], [true, "open"]];
  return html`<${Choice} kind="answer" ...${{ label, options, value, onChange }} />`;
}

/** Open or closed, to read. */
export function Answer({ isOpen }) {
  return html`<span class=${`pill ${isOpen ? "open" : ""}`}>${answer(isOpen)}</span>`;
}

/** What went wrong, and what to do about it. */
export function Problem({ error, onRetry }) {
  if (!error) return null;
  const where = error.field ? `${error.field}: ` : "";
  return html`<div class="note" role="alert">
    <span>${where}${error.message}</span>
    ${onRetry
      ? html`<button class="button small end" onClick=${onRetry}>Try again</button>`
      : null}
  </div>`;
}

/** A field with its label, and what is wrong with it. */
export function Field({ label, wrong, id, children }) {
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children}
    ${wrong ? html`<span class="wrong" id=${`${id}-wrong`}>${wrong}</span>` : null}
  </div>`;
}

/** Code to read and to copy. */
export function Code({ text, label }) {
  const [copied, setCopied] = useState(false);
  const block = useRef(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      // Browsers copy by script on trustworthy addresses only: leave it to the user.
      getSelection().selectAllChildren(block.current);
    }
  };
  useEffect(() => setCopied(false), [text]);
  return html`<div class="code">
    <pre ref=${block} tabindex="0" aria-label=${label}>${text}</pre>
    <button type="button" class="button small" onClick=${copy}>${copied ? "Copied" : "Copy"}</button>
  </div>`;
}

/** A dialog that the browser keeps the focus in; Escape closes it. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  return html`<dialog ref=${dialog} aria-label=${title} onClose=${onClose}>
    ${children}
  </dialog>`;
}

/** A question that must be answered before something is done. */
export function Confirm({ title, text, action, onConfirm, onClose }) {
  const submit = (event) => {
    event.preventDefault();
    onConfirm();
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      <h2>${title}</h2>
      <p class="quiet">${text}</p>
      <div class="line">
        <button type="button" class="button push" onClick=${onClose}>Cancel</button>
        <button class="button bad">${action}</button>
      </div>
    </form>
  <//>`;
}

/** A box to search in; the key / leads to it. */
export function Search({ value, label, onInput }) {
  const box = useRef(null);
  useEffect(() => {
    const focus = (event) => {
      if (event.key !== "/" || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
      event.preventDefault();
      box.current.focus();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);
  return html`<div class="search">
    <${Icon} name="search" />
    <input
      ref=${box}
      type="search"
      aria-label=${label}
      placeholder=${`${label}  ( / )`}
      value=${value}
      onInput=${(event) => onInput(event.target.value)}
    />
  </div>`;
}

/** The time now, for what is written relative to it. */
export function useNow(everyMs = 1000) {
  const [now, setNow] = useState(serverNow());
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
