// An order: found by its id, its customer's, its status or its time; and what became of it.

import { html, useState } from "/static/vendor/htm-preact.js";
import { ask, clock, lane, LANES, money, named, OrderLink, Problem, span, Status, t, useAct, usePolled, whole } from "/static/parts.js";

const FINAL = ["completed", "failed", "cancelled"];
const STATUSES = ["pending", "confirmed", ...FINAL];
const MINUTES = [10, 60, 1440];
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function Search() {
  const [customer, setCustomer] = useState("");
  const [status, setStatus] = useState("");
  const [since, setSince] = useState("");
  const [busy, problem, run] = useAct();
  const query = new URLSearchParams({
    ...(customer && { customer_id: customer }),
    ...(status && { status }),
    ...(since && { since }),
  });
  const [found] = usePolled(`/api/orders?${query}`, 2000);

  const search = (event) => {
    event.preventDefault();
    const text = new FormData(event.target).get("id").trim();
    run(async () => {
      if (!text) return setCustomer("");
      if (!ID.test(text)) throw new Error(t("no-id"));
      try {
        await ask(`/api/orders/${text}`);
        location.hash = `#/order/${text}`;
      } catch (error) {
        if (error.status !== 404) throw error;
        const { orders } = await ask(`/api/orders?customer_id=${text}`);
        if (!orders.length) throw new Error(t("nothing-found"));
        setCustomer(text);
      }
    });
  };

  return html`
    <h1>${t("view.order")}</h1>
    <form class="row" role="search" onSubmit=${search}>
      <label>${t("find-by")}<input name="id" type="search" autocomplete="off" spellcheck="false" placeholder="0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001" /></label>
      <label>${t("state")}
        <select value=${status} onChange=${(event) => setStatus(event.target.value)}>
          <option value="">${t("any")}</option>
          ${STATUSES.map((each) => html`<option value=${each}>${t(`status.${each}`)}</option>`)}
        </select>
      </label>
      <label>${t("placed-at")}
        <select onChange=${({ target }) => setSince(target.value && new Date(Date.now() - target.value * 60_000).toISOString())}>
          <option value="">${t("any")}</option>
          ${MINUTES.map((each) => html`<option value=${each}>${t(`within.${each}`)}</option>`)}
        </select>
      </label>
      <button type="submit" aria-busy=${busy}>${t("find")}</button>
    </form>
    ${problem && html`<${Problem} text=${problem} />`}
    <h2 id="found">${found?.of_page ? t("of-page") : customer ? t("of-customer", { id: customer }) : t("of-all")}</h2>
    ${found && !found.orders.length && html`<p class="note">${t("nothing-seen")} <a href="#/place">${t("place-one")}</a></p>`}
    ${found?.orders.length > 0 &&
    html`<div class="wide" role="group" aria-labelledby="found" tabindex="0"><table class="plain">
      <thead><tr><th scope="col">${t("order")}</th><th scope="col">${t("state")}</th><th scope="col">${t("placed-at")}</th><th scope="col" class="number">${t("amount")}</th></tr></thead>
      <tbody>
        ${found.orders.map(
          (order) => html`<tr key=${order.id}>
            <td><${OrderLink} id=${order.id} /></td>
            <td><${Status} status=${order.status} /></td>
            <td>${order.at ? clock(order.at) : new Date(order.placed_at).toLocaleString()}</td>
            <td class="number">${money(order.amount)}</td>
          </tr>`,
        )}
      </tbody>
    </table></div>`}
    <p class="note"><a href="/events">${t("events-explained")}</a></p>
  `;
}

export function Order({ id, acts }) {
  const quick = (story) => (story && FINAL.includes(story.status) && !story.waits_for ? 3000 : 700);
  const [story, problem, again] = usePolled(`/api/orders/${encodeURIComponent(id)}`, quick);
  const [busy, refused, run] = useAct();
  if (!story) return html`<h1>${t("order")} <code>${id}</code></h1>${problem ? html`<${Problem} text=${problem.message} />` : html`<p aria-busy="true"></p>`}`;
  const { order } = story;
  const cancel = () => run(async () => (await ask(`/api/orders/${id}/cancel`, {}), again()));
  return html`
    <div class="heading">
      <h1>${t("order")} <code class="whole">${id}</code></h1>
      <${Status} status=${story.status} />
      ${order?.reason && html`<span class="reason ${story.status}">${named("reason", order.reason)}</span>`}
      ${story.waits_for && html`<span class="status pending">${t("awaits", { lane: lane(story.waits_for) })}</span>`}
      ${acts && order && !FINAL.includes(story.status) && html`<button type="button" class="danger" aria-busy=${busy} onClick=${cancel}>${t("cancel")}</button>`}
    </div>
    ${problem && html`<${Problem} text=${problem.message} />`} ${refused && html`<${Problem} text=${refused} />`}
    ${story.silent.map((name) => html`<p class="problem" key=${name}>${t("silent", { lane: lane(name) })}</p>`)}
    <dl class="facts">
      <div><dt>${t("customer")}</dt><dd>${order ? html`<code>${order.customer_id}</code>` : t("unknown")}</dd></div>
      <div><dt>${t("amount")}</dt><dd>${order ? money(order.total_amount, order.currency) : "–"}</dd></div>
      <div><dt>${t("placed-at")}</dt><dd>${order ? new Date(order.created_at).toLocaleString() : "–"}</dd></div>
      <div><dt>${t("trace")}</dt><dd>${story.trace_id ? html`<code>${story.trace_id}</code>` : t("not-recorded")}</dd></div>
    </dl>
    <section aria-labelledby="way">
      <h2 id="way">${t("way")}</h2>
      ${!story.watched && html`<p class="note">${t("not-watched")}</p>`}
      <${Swimlane} steps=${story.steps} waits_for=${story.waits_for} watched=${story.watched} />
    </section>
    <div class="panels">
      <${Payment} payment=${story.payment} silent=${story.silent.includes("payment-service")} />
      <${Stock} stock=${story.stock} items=${order?.items ?? []} shortages=${order?.shortages ?? []} />
      <${Notes} notes=${story.notifications} />
    </div>
  `;
}

function Swimlane({ steps, waits_for, watched }) {
  return html`
    <div class="wide" role="group" aria-labelledby="way" tabindex="0">
      <table class="swim">
        <thead>
          <tr><th scope="col">${t("at")}</th><th scope="col" class="number">${t("after")}</th>${LANES.map((name) => html`<th scope="col" key=${name}>${lane(name)}</th>`)}</tr>
        </thead>
        <tbody>
          ${steps.map((step, index) => html`<${Step} key=${index} step=${step} watched=${watched} />`)}
          ${waits_for &&
          html`<tr class="next"><td></td><td></td>${LANES.map((name) => html`<td key=${name}>${name === waits_for && html`<span class="event pending">${t("its-turn")}</span>`}</td>`)}</tr>`}
        </tbody>
      </table>
    </div>
  `;
}

function Step({ step, watched }) {
  const places = [step.lane, ...step.readers].map((name) => LANES.indexOf(name)).filter((place) => place >= 0);
  const [first, last] = [Math.min(...places), Math.max(...places)];
  return html`
    <tr>
      <td class="time">${step.at ? clock(step.at, true) : t("not-recorded")}</td>
      <td class="number">${step.ms === null ? "" : `+${span(step.ms / 1000)}`}</td>
      ${LANES.map((name, place) => {
        const between = place >= first && place <= last ? `wire ${place === first ? "from" : ""} ${place === last ? "to" : ""}` : "";
        return html`<td key=${name} class=${between}>
          ${name === step.lane && html`<${Said} step=${step} watched=${watched} />`}
          ${name !== step.lane && step.readers.includes(name) && html`<span class="reader ${step.kind}" title=${t("reads", { lane: lane(name) })}><span class="unseen">${t("reads", { lane: lane(name) })}</span></span>`}
        </td>`;
      })}
    </tr>
  `;
}

const Said = ({ step, watched }) => html`
  <span class="event ${step.kind} ${step.at ? "" : "missing"}" title=${step.name}>
    ${t(`event.${step.name}`)}
    ${step.reason && html`<small>${named("reason", step.reason)}</small>`}
    ${step.by && html`<small title=${step.by}>${t("by", { name: step.by.split(" ").slice(1).join(" ") })}</small>`}
    ${step.repeat && html`<small>${t("repeated")}</small>`}
    ${step.twice > 0 && html`<small>${t("came-twice", { number: step.twice + 1 })}</small>`}
    ${watched && !step.seen && step.at && html`<small>${t("from-timeline")}</small>`}
  </span>
`;

function Payment({ payment, silent }) {
  return html`<article class="panel" aria-labelledby="payment">
    <h2 id="payment">${t("payment")}</h2>
    ${!payment
      ? html`<p class="note">${silent ? t("silent", { lane: lane("payment-service") }) : t("no-payment")}</p>`
      : html`<dl class="facts">
          <div><dt>${t("state")}</dt><dd><span class="status ${payment.status}">${named("payment", payment.status)}</span></dd></div>
          <div><dt>${t("amount")}</dt><dd>${money(payment.amount, payment.currency)}</dd></div>
          <div><dt>${t("attempts")}</dt><dd>${whole(payment.attempts)}</dd></div>
          ${payment.reason && html`<div><dt>${t("reason")}</dt><dd>${named("reason", payment.reason)}</dd></div>`}
        </dl>`}
  </article>`;
}

function Stock({ stock, items, shortages }) {
  const pieces = (product) => items.filter((item) => item.product_id === product).reduce((sum, item) => sum + item.quantity, 0);
  const missing = (product) => shortages.find((short) => short.product_id === product)?.missing ?? 0;
  const count = (item, key) => (item === undefined ? t("not-recorded") : item === null ? t("none") : whole(item[key]));
  return html`<article class="panel" aria-labelledby="stock">
    <h2 id="stock">${t("stock")}</h2>
    <table class="plain">
      <thead><tr><th scope="col">${t("product")}</th><th scope="col" class="number">${t("pieces")}</th><th scope="col" class="number">${t("before")}</th><th scope="col" class="number">${t("free-now")}</th><th scope="col" class="number">${t("held-now")}</th>${shortages.length > 0 && html`<th scope="col" class="number">${t("missing")}</th>`}</tr></thead>
      <tbody>
        ${stock.map(
          ({ product_id, before, now }) => html`<tr key=${product_id}>
            <td><code title=${product_id}>…${product_id.slice(-6)}</code></td><td class="number">${pieces(product_id)}</td>
            <td class="number">${count(before ?? undefined, "quantity_available")}</td><td class="number">${count(now, "quantity_available")}</td><td class="number">${count(now, "reserved_quantity")}</td>
            ${shortages.length > 0 && html`<td class="number">${whole(missing(product_id))}</td>`}
          </tr>`,
        )}
      </tbody>
    </table>
  </article>`;
}

const Notes = ({ notes }) => html`<article class="panel" aria-labelledby="notes">
  <h2 id="notes">${t("notifications")}</h2>
  ${!notes.length && html`<p class="note">${t("no-notifications")}</p>`}
  <ol class="notes">${notes.map((note) => html`<li key=${note.id}><b>${note.subject}</b> <span>${note.message}</span></li>`)}</ol>
</article>`;
