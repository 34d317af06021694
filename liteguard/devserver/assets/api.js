// Calls of the management API.

const PATIENCE_MS = 15000;

const signedOut = new Set();
let clockOffsetMs = 0;

/** Return the time as the server's clock has it. */
export function serverNow() {
  return Date.now() + clockOffsetMs;
}

/** What the server, or the way to it, refused. */
export class ApiError extends Error {
  constructor(status, reason, field) {
    super(reason);
    this.status = status;
    this.field = field || "";
  }
}

/** Have *listener* called when the server asks for the password. */
export function onSignedOut(listener) {
  signedOut.add(listener);
  return () => signedOut.delete(listener);
}

/** Call the management API and return the decoded answer. */
export async function call(method, path, body) {
  const { response, text } = await send(method, path, body);
  const answer = text ? decoded(text) : null;
  if (answer?.nowMs) clockOffsetMs = answer.nowMs - Date.now();
  if (response.ok) return answer;
  const error = answer?.error ?? {};
  if (response.status === 401 && path !== "session") {
    signedOut.forEach((listener) => listener());
  }
  const reason = error.reason || `the server answered ${response.status}`;
  throw new ApiError(response.status, reason, error.field);
}

/** Return the path of something in an environment. */
export function inEnvironment(environment, rest) {
  return `environments/${encodeURIComponent(environment)}/${rest}`;
}

/** Return the path of a guard. */
export function guardPath(environment, name, rest = "") {
  return inEnvironment(environment, `guards/${encodeURIComponent(name)}${rest}`);
}

async function send(method, path, body) {
  const options = { method, credentials: "same-origin", headers: {} };
  // What only reads may be asked again; whether a change was made would not be known.
  if (method === "GET") options.signal = AbortSignal.timeout(PATIENCE_MS);
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  try {
    const response = await fetch(`/manage/v1/${path}`, options);
    return { response, text: await response.text() };
  } catch {
    throw new ApiError(0, "the server does not answer; is `liteguard dev` still running?");
  }
}

function decoded(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
