// The guided tour: six scenes, each with a promise, an act, and a check that the page makes before everybody's eyes.

import { html, useRef, useState } from "/static/vendor/htm-preact.js";
import { ask, named, OrderLink, span, t, whole } from "/static/parts.js";

const DECLINED = "00000000-0000-4000-8000-000000000001";
const FINAL = ["completed", "failed", "cancelled"];
const PIECES = 100;
const CROWD = { customers: 60, pieces: 20 };
const PATIENCE_MS = 120_000;
const LOOK_EVERY_MS = 400;

const pause = () => new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));

/** Looks again until there is something. A service that is away for a moment is looked at again too. */
async function until(look) {
  const late = Date.now() + PATIENCE_MS;
  while (Date.now() < late) {
    const found = await Promise.resolve(look()).catch(() => null);
    if (found) return found;
    await pause();
  }
  throw new Error(t("tour.too-late"));
}

async function place(customer_id = null) {
  const { product_id } = await until(() => ask("/api/stock", { quantity_available: PIECES }));
  return ask("/api/orders", { customer_id, items: [{ product_id, quantity: 1, price: 19.99 }] });
}

/** The order's story once nothing of it is under way any more: neither held nor being charged. */
const ended = (id) =>
  until(async () => {
    const story = await ask(`/api/orders/${id}`);
    const held = story.stock[0]?.now?.reserved_quantity;
    return FINAL.includes(story.status) && !story.waits_for && !story.silent.length && held === 0 && story;
  });

const free = (story) => story.stock[0].now.quantity_available;
const took = (story) => span((Math.max(...story.steps.map((step) => step.at)) - Math.min(...story.steps.map((step) => step.at))));

/** Whether money, stock and outcome are one: sold and charged, or neither. */
const consistent = (story) =>
  story.status === "completed"
    ? story.payment?.status === "completed" && free(story) === PIECES - 1
    : story.payment?.status !== "completed" && free(story) === PIECES;

const outcome = (story) =>
  t("tour.outcome", { status: t(`status.${story.status}`), took: took(story), payment: named("payment", story.payment?.status ?? "none"), before: whole(PIECES), after: whole(free(story)) });

const SCENES = {
  async way(say) {
    const order = await place();
    say(t("tour.placed"), order.id);
    const story = await ended(order.id);
    const once = new Set(story.steps.map((step) => step.name)).size === story.steps.filter((step) => !step.repeat).length;
    return [once && consistent(story), outcome(story)];
  },
  async crash(say) {
    const order = await place();
    say(t("tour.placed"), order.id);
    await ask("/api/break", { act: "kill", service: "payment-service" });
    say(t("tour.killed"));
    const second = await place();
    say(t("tour.placed-meanwhile"), second.id);
    const stories = [await ended(order.id), await ended(second.id)];
    say(t("tour.is-back"));
    return [stories.every(consistent), stories.map(outcome).join(" ")];
  },
  async declined(say) {
    const order = await place(DECLINED);
    say(t("tour.placed-declined"), order.id);
    const story = await ended(order.id);
    const undone = story.steps.some((step) => step.name === "InventoryReleased");
    return [story.status === "failed" && undone && consistent(story), outcome(story)];
  },
  async crowd(say, seen) {
    const { product_id } = await ask("/api/crowd", CROWD);
    say(t("tour.crowd", CROWD));
    const crowd = await until(() => {
      const now = seen.current?.crowd;
      return now?.product_id === product_id && now.settled && now;
    });
    return [crowd.kept, t("not-oversold", { sold: whole(crowd.statuses.completed ?? 0), free: whole(crowd.free) })];
  },
  async poison(say) {
    const before = new Set((await ask("/api/dead-letters")).map((letter) => letter.id));
    await ask("/api/break", { act: "poison" });
    say(t("tour.poisoned"));
    const order = await place();
    say(t("tour.placed-meanwhile"), order.id);
    const story = await ended(order.id);
    const letter = await until(async () => (await ask("/api/dead-letters")).find((each) => !before.has(each.id)));
    say(t("tour.set-aside", { reason: letter.reason }));
    await ask("/api/dead-letters", { action: "drop", service: letter.service, id: letter.id });
    return [consistent(story), `${outcome(story)} ${t("done.drop", { number: 1 })}.`];
  },
  async books(say) {
    say(t("tour.reading"));
    const books = await ask("/api/books", {});
    return [books.agree, books.agree ? `${t("books-agree")} ${t("orders-in-books", { number: whole(books.orders) }).replace(":", ".")}` : books.findings[0].sentence];
  },
};

export function Tour({ picture }) {
  const seen = useRef(null);
  seen.current = picture;
  const [running, setRunning] = useState("");
  const [told, setTold] = useState({});

  const show = async (name) => {
    setRunning(name);
    const tell = (change) => setTold((all) => ({ ...all, [name]: change(all[name] ?? { steps: [] }) }));
    tell(() => ({ steps: [] }));
    const say = (text, order) => tell((scene) => ({ ...scene, steps: [...scene.steps, { text, order }] }));
    try {
      const [kept, text] = await SCENES[name](say, seen);
      tell((scene) => ({ ...scene, kept, text }));
    } catch (error) {
      tell((scene) => ({ ...scene, kept: false, text: error.message }));
    }
    setRunning("");
  };
  const showAll = async () => {
    for (const name of Object.keys(SCENES)) await show(name);
  };

  return html`
    <div class="heading"><h1>${t("view.tour")}</h1><button type="button" disabled=${running !== ""} onClick=${showAll}>${t("tour.all")}</button></div>
    <p class="note">${t("tour.help")}</p>
    <ol class="scenes">
      ${Object.keys(SCENES).map((name) => html`<${Scene} key=${name} name=${name} told=${told[name]} running=${running} show=${show} />`)}
    </ol>
  `;
}

const Scene = ({ name, told, running, show }) => html`
  <li class="panel scene" id=${`scene-${name}`}>
    <div class="heading">
      <h2>${t(`tour.${name}.title`)}</h2>
      <button type="button" class="quiet" disabled=${running !== ""} aria-busy=${running === name} onClick=${() => show(name)}>${t("tour.show")}<span class="unseen">: ${t(`tour.${name}.title`)}</span></button>
    </div>
    <p>${t(`tour.${name}.promise`)}</p>
    <div aria-live="polite">
      <ul>${told?.steps.map((step, index) => html`<li key=${index}>${step.text} ${step.order && html`<${OrderLink} id=${step.order} />`}</li>`)}</ul>
      ${told?.text && html`<p class=${told.kept ? "good" : "problem"}><span>${told.kept ? t("tour.kept") : t("tour.broken")}</span> ${told.text}</p>`}
    </div>
  </li>
`;
