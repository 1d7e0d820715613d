// Live: the four lanes, what waits where, the newest orders, and the last ten minutes.

import { html } from "/static/vendor/htm-preact.js";
import { Curve } from "/static/curves.js";
import { lane, money, named, OrderLink, rate, span, Status, t, whole } from "/static/parts.js";

const OPEN = ["pending", "confirmed"];
const ENDS = ["completed", "failed", "cancelled"];

export function Live({ picture }) {
  if (!picture) return html`<h1 class="unseen">${t("view.live")}</h1><p aria-busy="true">${t("feed.connecting")}</p>`;
  return html`
    <h1 class="unseen">${t("view.live")}</h1>
    <${Headline} picture=${picture} />
    ${picture.share < 1 && html`<p class="note">${t("sampled", { part: whole(1 / picture.share) })}</p>`}
    <section aria-labelledby="lanes">
      <h2 id="lanes">${t("lanes")}</h2>
      <${Lanes} lanes=${picture.lanes} />
    </section>
    <section aria-labelledby="newest">
      <h2 id="newest">${t("newest")}</h2>
      <${Newest} orders=${picture.orders} />
    </section>
    <section aria-labelledby="curves">
      <h2 id="curves">${t("ten-minutes")}</h2>
      <${Curves} curves=${picture.curves} now=${picture.now} />
    </section>
  `;
}

/** A card for each service; `acts` gives what stands below it. */
export const Lanes = ({ lanes, acts }) => html`
  <div class="lanes">${lanes.map((each) => html`<${Lane} key=${each.name} of=${each} acts=${acts} />`)}</div>
`;

function Headline({ picture }) {
  const { now, in_all: all } = picture;
  const open = all && OPEN.reduce((sum, status) => sum + (all[status] ?? 0), 0);
  return html`
    <dl class="headline">
      <div><dt>${t("placed")}</dt><dd>${rate(now?.placed)}<small>/s</small></dd></div>
      <div><dt>${t("completed")}</dt><dd>${rate(now?.completed)}<small>/s</small></dd></div>
      <div><dt>${t("to-completed")}</dt><dd>${span(now?.p50)} <small>p99 ${span(now?.p99)}</small></dd></div>
      <div><dt>${t("backlog")}</dt><dd>${whole(now?.backlog)}</dd></div>
      <div class="all">
        <dt>${t("in-all")}</dt>
        <dd>
          ${ENDS.map(
            (status) => html`<span class="count ${status}"><b data-count=${status}>${whole(all ? all[status] ?? 0 : null)}</b> ${t(`status.${status}`)}</span>`,
          )}
          <span class="count open"><b data-count="open">${whole(open)}</b> ${t("open")}</span>
        </dd>
      </div>
    </dl>
  `;
}

function Lane({ of, acts }) {
  const well = of.replicas.filter((replica) => replica.state === "ok").length;
  const unwell = of.replicas.filter((replica) => replica.state !== "ok");
  const state = !of.replicas.length ? "unknown" : unwell.length ? (well ? "partly" : "down") : "ok";
  const queues = of.queues;
  return html`
    <article class="lane ${state}" aria-label=${lane(of.name)}>
      <header>
        <h3>${lane(of.name)}</h3>
        <span class="health ${state}">${state === "ok" ? t("well", { number: well }) : t(`health.${state}`, { well, all: of.replicas.length })}</span>
      </header>
      ${unwell.map(
        (replica) => html`<p class="trouble"><b>${replica.name}</b> ${replica.state === "away" ? t("replica-away") : replica.problems.join("; ")}</p>`,
      )}
      <p class="flow">
        <span>${t("in")} <b>${rate(of.taken)}</b>/s <small title=${t("since-start")}>${whole(of.taken_in_all)}</small></span>
        <span>${t("out")} <b>${rate(of.said)}</b>/s <small title=${t("since-start")}>${whole(of.said_in_all)}</small></span>
      </p>
      <dl class="waits">
        <${Wait} name="outbox" value=${of.name === "notification-service" ? null : of.outbox} age=${of.outbox && of.outbox_age} />
        <${Wait} name="queue" value=${queues?.queue} />
        <${Wait} name="retries" value=${queues?.retries} />
        <${Wait} name="dead-letters" value=${queues?.dead_letters} bad />
      </dl>
      <div class="here">
        <p>
          <span>${t("waiting-here")} <b>${whole(of.waiting)}</b></span>
          ${of.oldest && html`<span class="oldest ${of.oldest.seconds > 10 ? "late" : ""}">${t("oldest")} <${OrderLink} id=${of.oldest.id}>${span(of.oldest.seconds)}<//></span>`}
        </p>
        <ul class="chips" aria-label=${t("waiting-orders", { lane: lane(of.name) })}>
          ${of.orders.map(
            (order) => html`<li key=${order.id}><a class="chip ${order.status}" href="#/order/${order.id}" title=${order.id}><span class="unseen">${order.id}</span></a></li>`,
          )}
          ${of.waiting > of.orders.length && html`<li class="more">+${whole(of.waiting - of.orders.length)}</li>`}
        </ul>
      </div>
      ${acts?.(of)}
    </article>
  `;
}

const Wait = ({ name, value, age, bad }) => html`
  <div class=${value ? (bad ? "some bad" : "some") : ""}><dt>${t(`wait.${name}`)}</dt><dd>${age >= 1 && html`<small>${span(age)}</small> `}<span data-wait=${name}>${whole(value)}</span></dd></div>
`;

function Newest({ orders }) {
  if (!orders.length) return html`<p class="note">${t("no-orders")} <a href="#/place">${t("place-one")}</a></p>`;
  return html`
    <div class="wide" role="group" aria-labelledby="newest" tabindex="0">
    <table class="orders">
      <thead>
        <tr><th scope="col">${t("order")}</th><th scope="col">${t("state")}</th><th scope="col">${t("way")}</th>
            <th scope="col" class="number">${t("took")}</th><th scope="col" class="number">${t("amount")}</th></tr>
      </thead>
      <tbody>${orders.map((order) => html`<${Row} key=${order.id} order=${order} />`)}</tbody>
    </table>
    </div>
  `;
}

const Row = ({ order }) => html`
  <tr class=${order.status}>
    <td><${OrderLink} id=${order.id} /></td>
    <td><${Status} status=${order.status} /></td>
    <td>
      <ol class="way">
        ${!order.complete && html`<li class="step missed">${t("not-seen")}</li>`}
        ${order.steps.map((step) => html`<li class="step ${step.kind}" title=${step.reason ? named("reason", step.reason) : step.name}>${t(`event.${step.name}`)}</li>`)}
        ${order.waits_for && html`<li class="step pending">${t("awaits", { lane: lane(order.waits_for) })}</li>`}
      </ol>
    </td>
    <td class="number">${span(order.seconds)}</td>
    <td class="number">${money(order.amount)}</td>
  </tr>
`;

function Curves({ curves, now }) {
  return html`
    <div class="curves">
      <${Curve} title=${t("curve.rate")} at=${curves.at} format=${rate}
        lines=${[[t("placed"), curves.placed, "--line-1"], [t("completed"), curves.completed, "--line-2"], [t("undone"), curves.undone, "--undo"]]}
        said=${t("said.rate", { placed: rate(now?.placed), completed: rate(now?.completed) })} />
      <${Curve} title=${t("curve.time")} at=${curves.at} format=${span}
        lines=${[["p50", curves.p50, "--line-2"], ["p99", curves.p99, "--line-3"]]}
        said=${t("said.time", { p50: span(now?.p50), p99: span(now?.p99) })} />
      <${Curve} title=${t("curve.backlog")} at=${curves.at} format=${whole}
        lines=${[[t("backlog"), curves.backlog, "--line-1"]]}
        said=${t("said.backlog", { number: whole(now?.backlog) })} />
    </div>
  `;
}
