// The page's frame: where one is, who looks, whether the server is there, language and colours.

import { html, render, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { Break } from "/static/break.js";
import { Live } from "/static/live.js";
import { begin, signIn, signOut } from "/static/login.js";
import { Operate } from "/static/operate.js";
import { Order, Search } from "/static/order.js";
import { currentLanguage, follow, lane, named, Problem, speak, t, useAct } from "/static/parts.js";
import { Place } from "/static/place.js";
import { Tour } from "/static/tour.js";

const READ = ["live", "order", "operate"];
const ACT = ["live", "order", "place", "operate"];
const ALL = [...ACT, "break", "tour"];
const ANNOUNCE_EVERY_MS = 10_000;
const CONNECT_AGAIN_AFTER_MS = 1000;

function useLocation() {
  const read = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const [path, setPath] = useState(read());
  useEffect(() => {
    const changed = () => setPath(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return path;
}

/** The newest picture, and whether the server is there. EventSource could send no token. */
function useStream(may) {
  const [picture, setPicture] = useState(null);
  const [connected, setConnected] = useState(null);
  useEffect(() => {
    const leaving = new AbortController();
    const take = (found) => (setPicture(found), setConnected(true));
    const connect = () =>
      follow(take, leaving.signal)
        .catch(() => leaving.signal.aborted || setConnected(false))
        .then(() => leaving.signal.aborted || setTimeout(connect, CONNECT_AGAIN_AFTER_MS));
    if (may) connect();
    return () => (leaving.abort(), setPicture(null), setConnected(null));
  }, [may]);
  return [picture, connected];
}

/** Null until it is known; see `begin`. Whoever may look has `roles`. */
function useVisitor() {
  const [visitor, setVisitor] = useState(null);
  useEffect(() => void begin((problem) => setVisitor({ problem })).then(setVisitor), []);
  return visitor;
}

/** For who has to sign in. */
function Door({ problem }) {
  const [busy, failed, run] = useAct();
  const said = failed || problem;
  return html`
    <h1>${t("sign-in")}</h1>
    ${said && html`<${Problem} text=${named("sign-in", said)} />`}
    <p>${t("sign-in-help")}</p>
    <button type="button" aria-busy=${busy} onClick=${() => run(() => signIn(problem === undefined ? "" : "login"))}>${t("sign-in")}</button>
  `;
}

function useTheme() {
  const [theme, setTheme] = useState(localStorage.getItem("theme") || "");
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = theme || (dark ? "dark" : "light");
    dispatchEvent(new Event("recolour"));
  }, [theme]);
  return () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", next);
    setTheme(next);
  };
}

/** What a screen reader is told: changes of health and connection only, and never one after the other at once. */
function Announcer({ picture, connected }) {
  const [said, setSaid] = useState("");
  const at = useRef(0);
  const unwell = (picture?.lanes ?? []).filter((each) => each.replicas.some((replica) => replica.state !== "ok"));
  const now = connected === false ? t("not-connected") : unwell.map((each) => t("unwell", { lane: lane(each.name) })).join(". ");
  useEffect(() => {
    if (now === said) return;
    const wait = Math.max(0, at.current + ANNOUNCE_EVERY_MS - Date.now());
    const timer = setTimeout(() => {
      at.current = Date.now();
      setSaid(now);
    }, wait);
    return () => clearTimeout(timer);
  }, [now, said]);
  return html`<p class="unseen" aria-live="polite">${said || (picture ? t("all-well") : "")}</p>`;
}

function Page() {
  const [view = "live", argument] = useLocation();
  const visitor = useVisitor();
  const [picture, connected] = useStream(Boolean(visitor?.roles));
  const [language, setLanguage] = useState(currentLanguage());
  const main = useRef(null);
  const here = useRef(null);
  const recolour = useTheme();
  const acts = Boolean(visitor?.open || visitor?.roles?.includes("staff"));
  const views = !visitor?.roles ? [] : visitor.open ? ALL : acts ? ACT : READ;
  const known = views.includes(view) ? view : "live";
  useEffect(() => here.current?.scrollIntoView({ block: "nearest", inline: "nearest" }), [known]);

  const content = {
    live: () => html`<${Live} picture=${picture} />`,
    order: () => (argument ? html`<${Order} id=${argument} key=${argument} acts=${acts} />` : html`<${Search} />`),
    place: () => html`<${Place} picture=${picture} crowds=${visitor.open} />`,
    operate: () => html`<${Operate} acts=${acts} />`,
    break: () => html`<${Break} picture=${picture} />`,
    tour: () => html`<${Tour} picture=${picture} />`,
  }[known];
  const state = connected === null ? "connecting" : connected ? (picture.feed === "following" ? "connected" : picture.feed) : "not-connected";

  return html`
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>${t("skip")}</a>
    <header class="bar">
      <strong class="brand"><img src="/static/icon.svg" alt="" width="22" height="22" /> ${t("title")}</strong>
      <nav aria-label=${t("views")}>
        ${views.map(
          (name) => html`<a href="#/${name}" ref=${name === known ? here : null} aria-current=${name === known ? "page" : undefined}>${t(`view.${name}`)}</a>`,
        )}
      </nav>
      <div class="tools">
        ${visitor?.roles && html`<span class="link ${state}">${t(`feed.${state}`)}</span>`}
        ${visitor?.name && html`<span title=${visitor.roles.join(", ")}>${visitor.name}</span><button type="button" class="quiet" onClick=${() => signOut().catch(() => {})}>${t("sign-out")}</button>`}
        <select
          aria-label=${t("language")}
          value=${language}
          onChange=${(event) => {
            speak(event.target.value);
            setLanguage(event.target.value);
          }}
        >
          <option value="en" lang="en">English</option>
          <option value="es" lang="es">Español</option>
        </select>
        <button type="button" class="quiet" onClick=${recolour} aria-label=${t("recolour")} title=${t("recolour")}>◐</button>
      </div>
    </header>
    <main id="main" tabindex="-1" ref=${main} class=${connected === false ? "stale" : ""}>
      ${connected === false && html`<p class="problem" role="alert">${t("lost")}</p>`}
      ${visitor?.roles ? content() : visitor ? html`<${Door} problem=${visitor.problem} />` : html`<p aria-busy="true">${t("feed.connecting")}</p>`}
    </main>
    <${Announcer} picture=${picture} connected=${connected} />
  `;
}

speak(currentLanguage());
render(html`<${Page} />`, document.getElementById("page"));
