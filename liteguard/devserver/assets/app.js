// The page: its frame, its tabs, and who may see it.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";

import { ApiError, call, inEnvironment, onSignedOut } from "./api.js";
import { Guard } from "./guard.js";
import { Guards } from "./guards.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { connect, disconnect, useConnection, useData } from "./live.js";
import { Monitor } from "./monitor.js";
import { Choice, Problem } from "./parts.js";
import { Link, go, usePlace } from "./place.js";
import { Processes } from "./processes.js";
import { Setup } from "./setup.js";
import { SignIn } from "./signin.js";

const TABS = [
  ["/", "Guards", "guards"],
  ["/monitor", "Monitor", "monitor"],
  ["/processes", "Processes", "processes"],
  ["/setup", "Setup", "setup"],
];
const VIEWS = { "/": Guards, "/guard": Guard, "/monitor": Monitor, "/processes": Processes, "/setup": Setup };
const THEMES = [
  ["light", html`<${Icon} name="sun" />`],
  ["dark", html`<${Icon} name="moon" />`],
  ["system", html`<${Icon} name="system" />`],
];

function App() {
  const [session, setSession] = useState(null);
  const [error, setError] = useState(null);
  const ask = async () => {
    try {
      setSession(await call("GET", "session"));
      setError(null);
    } catch (problem) {
      setError(problem);
    }
  };
  useEffect(() => {
    ask();
    return onSignedOut(ask);
  }, []);
  useEffect(() => {
    if (!session?.signedIn) return undefined;
    connect();
    return disconnect;
  }, [session?.signedIn]);
  if (error) {
    return html`<main class="sign-in"><${Problem} error=${error} onRetry=${ask} /></main>`;
  }
  if (!session) return null;
  if (!session.signedIn) return html`<${SignIn} onSignedIn=${ask} />`;
  return html`<${Frame} session=${session} onSignedOut=${ask} />`;
}

function Frame({ session, onSignedOut: left }) {
  const place = usePlace();
  const environments = useData("environments", ["environments"]);
  const View = VIEWS[place.view] ?? Guards;
  const known = environments.data?.environments.map((entry) => entry.name);
  const isKnown = !known || known.includes(place.environment);
  useEffect(() => {
    document.title = `${titleOf(place)} · Liteguard`;
  }, [place.view, place.guard]);
  return html`<div class="frame">
    <a class="skip" href="#view">Skip to content</a>
    <aside class="side"><div>
      <${Link} to=${{ view: "/" }} class="brand">
        <img src="/assets/icon.svg" alt="" width="26" height="26" />Liteguard <small>local</small>
      <//>
      <${Environments} place=${place} known=${known ?? [place.environment]} />
      <${Tabs} place=${place} />
      <div class="side-end"><${Connection} /><${Theme} /></div>
    </div></aside>
    <main class="view" id="view" tabindex="-1">
      ${isKnown
        ? html`<${View}
            key=${`${place.view} ${place.environment} ${place.guard}`}
            environment=${place.environment}
            guard=${place.guard}
            session=${session}
            onSignedOut=${left}
          />`
        : html`<${Unknown} environment=${place.environment} />`}
    </main>
  </div>`;
}

function titleOf(place) {
  if (place.view === "/guard") return place.guard;
  return TABS.find(([view]) => view === place.view)?.[1] ?? "Guards";
}

function Environments({ place, known }) {
  const view = place.view === "/guard" ? "/" : place.view;
  return html`<label class="environment">
    <span>Environment</span>
    <select
      aria-label="Environment"
      value=${place.environment}
      onChange=${(event) => go({ view, environment: event.target.value })}
    >
      ${known.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
      ${known.includes(place.environment) ? null : html`<option>${place.environment}</option>`}
    </select>
  </label>`;
}

function Tabs({ place }) {
  const path = inEnvironment(place.environment, "overview");
  const { data } = useData(path, ["guards", "observations"]);
  const waiting = data?.unadopted.length ?? 0;
  return html`<nav class="tabs" aria-label="Views">
    ${TABS.map(([view, text, icon]) => {
      const isHere = view === place.view || (view === "/" && place.view === "/guard");
      return html`<${Link} key=${view} to=${{ view }} aria-current=${isHere ? "page" : undefined}>
        <${Icon} name=${icon} />${text}
        ${view === "/" && waiting
          ? html`<span class="badge" title="unadopted guards">${waiting}</span>`
          : null}
      <//>`;
    })}
  </nav>`;
}

function Connection() {
  const state = useConnection();
  const text = { live: "Live", lost: "Connection lost; trying again", connecting: "Connecting" }[state];
  return html`<div class=${`live ${state}`} role="status" title=${text}><span>${text}</span></div>`;
}

function Theme() {
  const [theme, setTheme] = useState(window.liteguardTheme.chosen());
  const choose = (next) => {
    window.liteguardTheme.choose(next);
    setTheme(next);
  };
  const options = THEMES.map(([key, icon]) => [key, html`<span class="theme" title=${`${key} colours`} aria-label=${`${key} colours`}>${icon}</span>`]);
  return html`<${Choice} label="Colours" kind="themes" options=${options} value=${theme} onChange=${choose} />`;
}

function Unknown({ environment }) {
  const error = new ApiError(404, `there is no environment ${environment} here`);
  return html`<div class="stack">
    <${Problem} error=${error} />
    <p>Choose another one at the top, or <${Link} to=${{ view: "/", environment: "default" }}>go to default<//>.</p>
  </div>`;
}

render(html`<${App} />`, document.getElementById("app"));
