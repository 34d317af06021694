// The page of one guard.
import { useEffect, useMemo, useState } from "preact/hooks";

import { call, guardPath, inEnvironment } from "./api.js";
import { draftOf, fieldsFrom } from "./draft.js";
import { Usage } from "./usage.js";
import { History } from "./history.js";
import { html } from "./html.js";
import { Limits } from "./limits.js";
import { useData } from "./live.js";
import { Answer, Confirm, Problem, Switch } from "./parts.js";
import { Link, go } from "./place.js";
import { Rules } from "./rules.js";
import { Trial } from "./trial.js";

/** The page. */
export function Guard({ environment, guard: name }) {
  const path = guardPath(environment, name);
  const { data, error, reload } = useData(path, ["guards"]);
  const isMissing = error?.status === 404;
  return html`<${Head} ...${{ environment, name, guard: data, reload }} />
    <div class="stack">
      ${isMissing
        ? html`<${Missing} ...${{ environment, name, reload }} />`
        : html`<${Problem} error=${error} onRetry=${reload} />`}
      ${data ? html`<${Editor} ...${{ environment, name, guard: data, reload }} />` : null}
      ${isMissing ? html`<${History} ...${{ environment, name, reload }} />` : null}
    </div>`;
}

function Head({ environment, name, guard, reload }) {
  const [isDeleting, setIsDeleting] = useState(false);
  const remove = async () => {
    await call("DELETE", guardPath(environment, name));
    go({ view: "/" });
  };
  return html`<div class="view-head">
    <div class="title">
      <p class="crumb"><${Link} to=${{ view: "/" }}>Guards<//> /</p>
      <h1 class="mono">${name}</h1>
    </div>
    ${guard && !guard.adopted
      ? html`<span class="pill warn">unadopted: closed whatever stands here</span>
          <button class="button main" onClick=${() => call("POST", guardPath(environment, name, "/adopt")).then(reload)}>Adopt</button>`
      : null}
    ${guard
      ? html`<div class="end"><button class="button bad" onClick=${() => setIsDeleting(true)}>Delete</button></div>`
      : null}
    ${isDeleting
      ? html`<${Confirm}
          title="Delete this guard?"
          text="Applications that ask for it find it unadopted, and closed. The history keeps it: it can be brought back."
          action="Delete"
          onConfirm=${remove}
          onClose=${() => setIsDeleting(false)}
        />`
      : null}
  </div>`;
}

function Missing({ environment, name, reload }) {
  const make = async () => {
    await call("POST", inEnvironment(environment, "guards"), { name, adopted: true });
    reload();
  };
  return html`<section class="card"><div class="empty">
    <h2>There is no such guard</h2>
    <p>It may have been deleted: then the history below can bring it back.</p>
    <button class="button" onClick=${make}>Make it</button>
  </div></section>`;
}

function Editor({ environment, name, guard, reload }) {
  const stored = JSON.stringify(draftable(guard));
  const [base, setBase] = useState(stored);
  const [draft, setDraft] = useState(() => draftOf(guard));
  const [failure, setFailure] = useState(null);
  const [trial, setTrial] = useState(null);
  const made = useMemo(() => fieldsFrom(draft), [draft]);
  const isDirty = JSON.stringify(draftable({ ...guard, ...made.fields })) !== base;
  const adopt = (next) => {
    setBase(JSON.stringify(draftable(next)));
    setDraft(draftOf(next));
    setFailure(null);
  };
  useEffect(() => {
    // What somebody else changed is shown, unless that would lose what was typed here.
    if (stored !== base && !isDirty) adopt(guard);
  }, [stored]);

  const wrong = { ...made.wrong, ...troubles(trial, draft), ...named(failure) };
  const patch = async (fields) => {
    try {
      const saved = await call("PATCH", guardPath(environment, name), fields);
      setFailure(null);
      return saved;
    } catch (problem) {
      setFailure(problem);
      return null;
    } finally {
      reload();
    }
  };
  const save = async () => {
    const saved = await patch(made.fields);
    if (saved) adopt(saved);
  };
  const edit = (part) => (next) => {
    setFailure(null);
    setDraft((before) => ({ ...before, [part]: next }));
  };
  const isWrong = Object.keys({ ...made.wrong, ...troubles(trial, draft) }).length > 0;
  const whole = { ...guard, ...made.fields };
  return html`<div class="columns">
    <div class="stack">
      <${Default} guard=${guard} onChange=${(defaultValue) => patch({ defaultValue })} />
      <${Rules} rules=${draft.rules} onChange=${edit("rules")} ...${{ wrong, trial, guard }} />
      <${Limits} ...${{ draft, wrong, edit }} />
      ${failure?.field && named(failure)[failure.field] ? null : html`<${Problem} error=${failure} />`}
      ${isDirty
        ? html`<${SaveBar}
            isWrong=${isWrong}
            isStale=${stored !== base}
            onSave=${save}
            onDiscard=${() => adopt(guard)}
          />`
        : null}
    </div>
    <div class="stack">
      <${Trial} guard=${isWrong && Object.keys(made.wrong).length ? null : whole} onAnswer=${setTrial} ...${{ environment, name, trial }} />
      <${Usage} ...${{ environment, name }} />
      <${History} ...${{ environment, name, reload }} />
    </div>
  </div>`;
}

function Default({ guard, onChange }) {
  const rules = guard.rules.filter((rule) => rule.enabled).length;
  const text = rules ? "the answer where no rule matches" : "the answer to every check, as there are no rules";
  return html`<section class="card"><header>
    <h2>Default</h2>
    <span class="hint">${text}</span>
    <div class="end">
      <${Answer} isOpen=${guard.defaultValue} />
      <${Switch} on=${guard.defaultValue} label="Default" onChange=${onChange} />
    </div>
  </header></section>`;
}

function SaveBar({ isWrong, isStale, onSave, onDiscard }) {
  const told = isStale ? "This guard was changed elsewhere meanwhile; saving replaces that." : "Not saved yet.";
  return html`<div class="savebar" role="status">
    <span>${isWrong ? "Some fields need another look." : told}</span>
    <button class="button small push" onClick=${onDiscard}>Discard</button>
    <button class="button small main" disabled=${isWrong} onClick=${onSave}>Save</button>
  </div>`;
}

function draftable(guard) {
  const { rules, rateLimit = null, dryRunRateLimit = null, disableMeasurement } = guard;
  return { rules, rateLimit: sorted(rateLimit), dryRunRateLimit: sorted(dryRunRateLimit), disableMeasurement };
}

function sorted(limit) {
  return limit && Object.fromEntries(Object.entries(limit).sort());
}

function troubles(trial, draft) {
  const found = {};
  trial?.rules.forEach(({ problem }, index) => {
    if (problem && draft.rules[index]) found[`rules.${index}.values`] = `never matches: ${problem}`;
  });
  return found;
}

function named(failure) {
  return failure?.field?.includes(".") ? { [failure.field]: failure.message } : {};
}
