// A guard while it is edited: what stands in the fields, and the guard that it makes.

export const OPERATORS = [
  ["EQUALS", "is"],
  ["NOT_EQUALS", "is not"],
  ["IN", "is one of"],
  ["NOT_IN", "is none of"],
  ["REGEX", "matches regex"],
  ["GT", "is over"],
  ["GTE", "is at least"],
  ["LT", "is under"],
  ["LTE", "is at most"],
];
const MANY = new Set(["IN", "NOT_IN"]);

let lastKey = 0;

/** Tell whether an operator looks at more than one value. */
export function takesMany(operator) {
  return MANY.has(operator);
}

/** Return a value as it stands in its two fields. */
export function fieldsOf(value) {
  if (value === null) return { type: "null", text: "" };
  const type = { string: "text", number: "number", boolean: "boolean" }[typeof value];
  return { type, text: String(value) };
}

/** Return an empty rule. */
export function newRule() {
  return ruleDraft({ propertyName: "", operator: "EQUALS", values: [""], result: true, enabled: true });
}

/** Return what can be edited of a guard. */
export function draftOf(guard) {
  return {
    rules: guard.rules.map(ruleDraft),
    rateLimit: limitDraft(guard.rateLimit),
    dryRunRateLimit: { ...limitDraft(guard.dryRunRateLimit), dryRunId: guard.dryRunRateLimit?.dryRunId ?? "" },
    disableMeasurement: guard.disableMeasurement,
  };
}

/**
 * Return the fields that a draft makes, and what is wrong with it.
 *
 * `wrong` holds a text for each field at fault, by the name that the server gives it.
 */
export function fieldsFrom(draft) {
  const wrong = {};
  return {
    wrong,
    fields: {
      rules: draft.rules.map((rule, index) => ruleFrom(rule, `rules.${index}`, wrong)),
      rateLimit: limitFrom(draft.rateLimit, "rateLimit", wrong),
      dryRunRateLimit: dryRunFrom(draft.dryRunRateLimit, wrong),
      disableMeasurement: draft.disableMeasurement,
    },
  };
}

/** Return the value that two fields make; `undefined` if they make none. */
export function valueFrom({ type, text }) {
  if (type === "null") return null;
  if (type === "boolean") return text === "true";
  if (type === "text") return text;
  const number = Number(text);
  return text.trim() !== "" && Number.isFinite(number) ? number : undefined;
}

function ruleDraft(rule) {
  return { ...rule, key: ++lastKey, values: rule.values.map(fieldsOf) };
}

function ruleFrom(rule, place, wrong) {
  const { propertyName, operator, result, enabled } = rule;
  if (!propertyName.trim()) wrong[`${place}.propertyName`] = "name the property to look at";
  if (!rule.values.length) wrong[`${place}.values`] = "add a value: without one it never matches";
  const values = rule.values.map((fields, index) => {
    const value = valueFrom(fields);
    if (value === undefined) wrong[`${place}.values.${index}`] = "this is not a number";
    return value ?? null;
  });
  return { propertyName, operator, values, result, enabled };
}

function limitDraft(limit) {
  return {
    isOn: Boolean(limit),
    requestsPerMinute: String(limit?.requestsPerMinute ?? 60),
    partitionProperties: (limit?.partitionProperties ?? []).join(", "),
  };
}

function limitFrom(limit, place, wrong) {
  if (!limit.isOn) return null;
  const requestsPerMinute = Number(limit.requestsPerMinute);
  if (!Number.isSafeInteger(requestsPerMinute) || requestsPerMinute < 1) {
    wrong[`${place}.requestsPerMinute`] = "give a whole number above 0";
  }
  const names = limit.partitionProperties.split(",").map((name) => name.trim());
  return { requestsPerMinute, partitionProperties: names.filter(Boolean) };
}

function dryRunFrom(limit, wrong) {
  const fields = limitFrom(limit, "dryRunRateLimit", wrong);
  if (!fields) return null;
  if (!limit.dryRunId.trim()) wrong["dryRunRateLimit.dryRunId"] = "name the trial";
  return { ...fields, dryRunId: limit.dryRunId };
}
