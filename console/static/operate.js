// Operate: the books at a click, dead letters, stock. `acts`: whether whoever looks may do more than look.

import { html, useRef, useState } from "/static/vendor/htm-preact.js";
import { ask, lane, money, named, OrderLink, Problem, t, useAct, usePolled, whole } from "/static/parts.js";

export const Operate = ({ acts }) => html`
  <h1>${t("view.operate")}</h1>
  <${Books} />
  <${DeadLetters} acts=${acts} />
  <${Stock} acts=${acts} />
`;

function Books() {
  const [books, setBooks] = useState(null);
  const [busy, problem, run] = useAct();
  const read = () => run(async () => setBooks(await ask("/api/books", {})));
  return html`
    <section class="panel" aria-labelledby="books">
      <div class="heading"><h2 id="books">${t("books")}</h2><button type="button" aria-busy=${busy} onClick=${read}>${t("read-books")}</button></div>
      <p class="note">${t("books-help")}</p>
      ${problem && html`<${Problem} text=${problem} />`}
      <div aria-live="polite">
        ${books &&
        html`
          <p class=${books.agree ? "good" : "problem"}>${books.agree ? t("books-agree") : t("books-disagree")}</p>
          <p>${t("orders-in-books", { number: whole(books.orders) })} ${Object.entries(books.statuses).map(([status, number]) => html`<span class="count ${status}" key=${status}><b data-book=${status}>${whole(number)}</b> ${t(`status.${status}`)}</span>`)}</p>
          <ul class="findings">${books.findings.map((finding) => html`<li class=${finding.severity}><b>${t(`severity.${finding.severity}`)}</b> <span lang="en">${finding.sentence}</span></li>`)}</ul>
          ${books.more > 0 && html`<p class="note">${t("and-more", { number: whole(books.more) })}</p>`}
        `}
      </div>
    </section>
  `;
}

function DeadLetters({ acts }) {
  const [letters, unread, again] = usePolled("/api/dead-letters", 5000);
  const [busy, problem, run] = useAct();
  const [done, setDone] = useState("");
  const settle = (action, letter) => {
    if (action === "drop" && !confirm(letter ? t("drop-this") : t("drop-all"))) return;
    return run(async () => {
      const { number } = await ask("/api/dead-letters", { action, service: letter?.service ?? null, id: letter?.id ?? null });
      setDone(t(`done.${action}`, { number: whole(number) }));
      again();
    });
  };
  return html`
    <section class="panel" aria-labelledby="letters">
      <div class="heading">
        <h2 id="letters">${t("dead-letters")}</h2>
        ${acts && letters?.length > 0 &&
        html`<button type="button" aria-busy=${busy} onClick=${() => settle("redrive")}>${t("redrive-all")}</button>
          <button type="button" class="danger" aria-busy=${busy} onClick=${() => settle("drop")}>${t("drop-everything")}</button>`}
      </div>
      <p class="note">${t("letters-help")}</p>
      ${(problem || unread) && html`<${Problem} text=${problem || unread.message} />`}
      <p aria-live="polite" class=${done ? "good" : ""}>${done}</p>
      ${letters && !letters.length && html`<p>${t("no-letters")}</p>`}
      ${letters?.map(
        (letter) => html`
          <article class="letter" key=${letter.service + letter.id}>
            <p>
              <b>${lane(letter.service)}</b> <span class="reason failed">${named("reason", letter.reason)}</span>
              ${letter.events.slice(0, 3).map((event) => html`<span>${event.name} <${OrderLink} id=${event.order_id} /></span>`)}
              <time>${letter.at}</time>
            </p>
            <details><summary>${t("show")}</summary><pre tabindex="0" aria-label=${t("letter")} lang="en">${letter.text}</pre></details>
            ${acts &&
            html`<div class="acts">
              ${!letter.forged && html`<button type="button" class="quiet" aria-busy=${busy} onClick=${() => settle("redrive", letter)}>${t("redrive")}</button>`}
              <button type="button" class="quiet danger" aria-busy=${busy} onClick=${() => settle("drop", letter)}>${t("drop")}</button>
            </div>`}
          </article>
        `,
      )}
    </section>
  `;
}

function Stock({ acts }) {
  const [items, unread, again] = usePolled("/api/stock", 3000);
  const [busy, problem, run] = useAct();
  const set = (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.target));
    const body = { product_id: form.product_id.trim() || null, quantity_available: Number(form.quantity) };
    if (form.price) body.price = Number(form.price);
    run(async () => (await ask("/api/stock", body), event.target.reset(), again()));
  };
  return html`
    <section class="panel" aria-labelledby="stocks">
      <h2 id="stocks">${t("stock")}</h2>
      <p class="note">${t("stock-help")}</p>
      ${acts &&
      html`<form class="row" onSubmit=${set}>
        <label>${t("product")}<input name="product_id" list="products" placeholder=${t("a-new-one")} pattern="[0-9a-fA-F\\-]{36}" spellcheck="false" autocomplete="off" /></label>
        <label>${t("free-now")}<input name="quantity" type="number" min="0" max="1000000000" required /></label>
        <label>${t("price")}<input name="price" type="number" min="0.01" step="0.01" placeholder=${t("as-it-is")} /></label>
        <button type="submit" aria-busy=${busy}>${t("set")}</button>
      </form>
      <datalist id="products">${items?.map((item) => html`<option value=${item.product_id}></option>`)}</datalist>`}
      ${(problem || unread) && html`<${Problem} text=${problem || unread.message} />`}
      ${items?.length > 0 &&
      html`<div class="tall" role="group" aria-labelledby="stocks" tabindex="0"><table class="plain">
        <thead><tr><th scope="col">${t("product")}</th><th scope="col" class="number">${t("free-now")}</th><th scope="col" class="number">${t("held-now")}</th><th scope="col" class="number">${t("price")}</th><th scope="col">${t("difference")}</th></tr></thead>
        <tbody>
          ${items.map(
            (item) => html`<tr key=${item.product_id}><td><code>${item.product_id}</code></td><td class="number">${whole(item.quantity_available)}</td><td class="number">${whole(item.reserved_quantity)}</td><td class="number">${money(item.price)}</td><td><${Difference} product=${item.product_id} changed=${again} /></td></tr>`,
          )}
        </tbody>
      </table></div>`}
    </section>
  `;
}

// What orders take in the meantime stays taken, whereas setting a number brings it back.
function Difference({ product, changed }) {
  const [busy, problem, run] = useAct();
  const sent = useRef({});
  const change = (event) => {
    event.preventDefault();
    const form = event.target;
    const difference = Number(new FormData(form).get("difference"));
    // Whoever got no answer and tries again sends the same key, so that nothing is added twice.
    if (sent.current.difference !== difference) sent.current = { difference, key: crypto.randomUUID() };
    run(async () => {
      await ask(`/api/stock/${product}/changes`, sent.current);
      sent.current = {};
      form.reset();
      changed();
    });
  };
  return html`
    <form class="difference" onSubmit=${change}>
      <input name="difference" type="number" step="1" required placeholder="+10" aria-label=${t("difference-of", { product })} />
      <button type="submit" class="quiet" aria-busy=${busy}>${t("change")}</button>
    </form>
    ${problem && html`<${Problem} text=${problem} />`}
  `;
}
