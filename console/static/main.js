// The page's frame: where one is, whether the server is there, language and colours.

import { html, render, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { Break } from "/static/break.js";
import { Live } from "/static/live.js";
import { Operate } from "/static/operate.js";
import { Order, Search } from "/static/order.js";
import { currentLanguage, lane, speak, t } from "/static/parts.js";
import { Place } from "/static/place.js";
import { Tour } from "/static/tour.js";

const VIEWS = ["live", "order", "place", "operate", "break", "tour"];
const ANNOUNCE_EVERY_MS = 10_000;

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

/** The newest picture, and whether the server is there. EventSource connects anew by itself. */
function useStream() {
  const [picture, setPicture] = useState(null);
  const [connected, setConnected] = useState(null);
  useEffect(() => {
    const source = new EventSource("/stream");
    source.onmessage = (message) => {
      setPicture(JSON.parse(message.data));
      setConnected(true);
    };
    source.onerror = () => setConnected(false);
    return () => source.close();
  }, []);
  return [picture, connected];
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
  const [picture, connected] = useStream();
  const [language, setLanguage] = useState(currentLanguage());
  const main = useRef(null);
  const recolour = useTheme();
  const known = VIEWS.includes(view) ? view : "live";

  const content = {
    live: () => html`<${Live} picture=${picture} />`,
    order: () => (argument ? html`<${Order} id=${argument} key=${argument} />` : html`<${Search} />`),
    place: () => html`<${Place} picture=${picture} />`,
    operate: () => html`<${Operate} />`,
    break: () => html`<${Break} picture=${picture} />`,
    tour: () => html`<${Tour} picture=${picture} />`,
  }[known];
  const state = connected === null ? "connecting" : connected ? (picture.feed === "following" ? "connected" : picture.feed) : "not-connected";

  return html`
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>${t("skip")}</a>
    <header class="bar">
      <strong class="brand"><img src="/static/icon.svg" alt="" width="22" height="22" /> ${t("title")}</strong>
      <nav aria-label=${t("views")}>
        ${VIEWS.map(
          (name) => html`<a href="#/${name}" aria-current=${name === known ? "page" : undefined}>${t(`view.${name}`)}</a>`,
        )}
      </nav>
      <div class="tools">
        <span class="link ${state}">${t(`feed.${state}`)}</span>
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
      ${connected === false && html`<p class="problem" role="alert">${t("lost")}</p>`} ${content()}
    </main>
    <${Announcer} picture=${picture} connected=${connected} />
  `;
}

speak(currentLanguage());
render(html`<${Page} />`, document.getElementById("page"));
