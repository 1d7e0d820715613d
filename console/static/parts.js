// What all views share: asking the server, words, and how numbers, times and states are written.

import { html, useEffect, useState } from "/static/vendor/htm-preact.js";
import { headers, refused } from "/static/login.js";
import { WORDS } from "/static/words.js";

export const LANES = ["order-service", "inventory-service", "payment-service", "notification-service"];

let language = localStorage.getItem("language") || (navigator.language.startsWith("es") ? "es" : "en");

export const currentLanguage = () => language;

export function speak(chosen) {
  language = chosen;
  localStorage.setItem("language", chosen);
  document.documentElement.lang = chosen;
  document.title = t("title");
}

/** The words of that name in the chosen language, with {name} filled in from the values. */
export function t(name, values = {}) {
  const text = WORDS[language][name] ?? WORDS.en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

/** A word for a slug or a name that may have none, which is then shown as it is. */
export const named = (kind, name) => WORDS[language][`${kind}.${name}`] ?? name;

const numbers = () => new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
export const whole = (value) => (value === null || value === undefined ? "–" : numbers().format(value));
export const rate = (value) =>
  value === null || value === undefined
    ? "–"
    : new Intl.NumberFormat(language, { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
export const money = (value, currency = "") =>
  value === null || value === undefined
    ? "–"
    : `${new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(value)} ${currency}`.trim();

/** Seconds as a person says them: 12 ms, 3.4 s, 2 min, 3 h. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 99.5) return `${rate(Math.round(seconds * 10) / 10)} s`;
  return seconds < 5400 ? `${whole(seconds / 60)} min` : `${whole(seconds / 3600)} h`;
}

export function clock(seconds, precise = false) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  if (precise) options.fractionalSecondDigits = 3;
  return new Date(seconds * 1000).toLocaleTimeString(language, options);
}

/** The random end of an id: its beginning is the time, which neighbours share. */
export const short = (id) => `…${id.slice(-8)}`;

export const lane = (name) => t(`lane.${name}`);

export const Status = ({ status }) =>
  html`<span class="status ${status ?? "unknown"}">${status ? t(`status.${status}`) : t("unknown")}</span>`;

export const OrderLink = ({ id, children }) =>
  html`<a class="id" href="#/order/${id}" title=${id}>${children ?? short(id)}</a>`;

/** Asks the server. Throws an Error whose message is for people. */
export async function ask(path, body) {
  const options = body
    ? { method: "POST", headers: { ...headers(), "Content-Type": "application/json" }, body: JSON.stringify(body) }
    : { headers: headers() };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error(t("no-answer"));
  }
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  if (answer.status === 401) refused();
  const errors = (content.errors ?? []).map((error) => `${error.path}: ${error.message}`).join("; ");
  const error = new Error(errors || content.detail || t("no-answer"));
  error.status = answer.status;
  throw error;
}

/** Calls `take` with each picture of the server's stream, until it ends. Throws if it breaks off. */
export async function follow(take, signal) {
  const answer = await fetch("/stream", { headers: headers(), signal });
  if (answer.status === 401) refused();
  if (!answer.ok) throw new Error(answer.statusText);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const messages = (rest + value).split("\n\n");
    rest = messages.pop();
    messages.forEach((message) => take(JSON.parse(message.slice("data: ".length))));
  }
}

/** Runs an act for a button or a form: [busy, problem, run]. */
export function useAct() {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const run = async (act) => {
    setBusy(true);
    setProblem("");
    try {
      return await act();
    } catch (error) {
      setProblem(error.message);
    } finally {
      setBusy(false);
    }
  };
  return [busy, problem, run];
}

/** Asks again every so many milliseconds, unless told to stop: [answer, problem, again]. */
export function usePolled(path, milliseconds) {
  const [state, setState] = useState([null, null]);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let timer;
    let gone = false;
    const look = async () => {
      let pause = milliseconds;
      try {
        const answer = await ask(path);
        if (typeof milliseconds === "function") pause = milliseconds(answer);
        if (!gone) setState([answer, null]);
      } catch (error) {
        if (typeof milliseconds === "function") pause = milliseconds(null);
        if (!gone) setState(([answer]) => [answer, error]);
      }
      if (!gone && pause) timer = setTimeout(look, pause);
    };
    look();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [path, turn]);
  return [...state, () => setTurn((number) => number + 1)];
}

export const Problem = ({ text }) => html`<p class="problem" role="alert">${text}</p>`;
