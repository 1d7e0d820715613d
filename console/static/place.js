// Place: an order by form, and many customers who want the same few pieces.

import { html, useEffect, useState } from "/static/vendor/htm-preact.js";
import { ask, money, named, Problem, t, useAct, whole } from "/static/parts.js";

const CUSTOMERS = {
  new: null,
  declined: "00000000-0000-4000-8000-000000000001",
  failing: "00000000-0000-4000-8000-000000000002",
  forgetful: "00000000-0000-4000-8000-000000000003",
};
const PIECES_OF_A_NEW_PRODUCT = 100;

/** `crowds`: whether customers whom there aren't may order. */
export const Place = ({ picture, crowds }) => html`
  <h1>${t("view.place")}</h1>
  <div class="panels">
    <${OneOrder} />
    ${crowds && html`<${Crowd} crowd=${picture?.crowd} />`}
  </div>
`;

function OneOrder() {
  const [products, setProducts] = useState([]);
  const [customer, setCustomer] = useState("new");
  const [busy, problem, run] = useAct();
  useEffect(() => void run(async () => setProducts(await ask("/api/stock"))), []);

  const place = (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.target));
    run(async () => {
      let product = form.product;
      if (!product) product = (await ask("/api/stock", { quantity_available: PIECES_OF_A_NEW_PRODUCT })).product_id;
      const item = { product_id: product, quantity: Number(form.quantity), price: Number(form.price) };
      const customer_id = form.customer === "other" ? form.customer_id.trim() : CUSTOMERS[form.customer];
      const order = await ask("/api/orders", { customer_id, items: [item] });
      location.hash = `#/order/${order.id}`;
    });
  };

  return html`
    <article class="panel" aria-labelledby="one">
      <h2 id="one">${t("one-order")}</h2>
      <form onSubmit=${place}>
        <label>${t("customer")}
          <select name="customer" value=${customer} onChange=${(event) => setCustomer(event.target.value)} aria-describedby="customer-help">
            ${[...Object.keys(CUSTOMERS), "other"].map((name) => html`<option value=${name}>${t(`customer.${name}`)}</option>`)}
          </select>
          <small id="customer-help">${t(`customer-help.${customer}`)}</small>
        </label>
        ${customer === "other" && html`<label>${t("customer-id")}<input name="customer_id" required pattern="[0-9a-fA-F\\-]{36}" spellcheck="false" /></label>`}
        <label>${t("product")}
          <select name="product">
            <option value="">${t("new-product", { number: PIECES_OF_A_NEW_PRODUCT })}</option>
            ${products.map(
              (item) => html`<option value=${item.product_id}>…${item.product_id.slice(-6)}: ${t("free", { number: whole(item.quantity_available) })}${item.price ? `, ${money(item.price)}` : ""}</option>`,
            )}
          </select>
        </label>
        <div class="pair">
          <label>${t("pieces")}<input name="quantity" type="number" min="1" max="10000" value="1" required /></label>
          <label>${t("price")}<input name="price" type="number" min="0.01" step="0.01" value="19.99" required /></label>
        </div>
        <button type="submit" aria-busy=${busy}>${t("place")}</button>
        ${problem && html`<${Problem} text=${problem} />`}
      </form>
    </article>
  `;
}

function Crowd({ crowd }) {
  const [busy, problem, run] = useAct();
  const gather = (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.target));
    run(() => ask("/api/crowd", { customers: Number(form.customers), pieces: Number(form.pieces) }));
  };
  return html`
    <article class="panel" aria-labelledby="crowd">
      <h2 id="crowd">${t("crowd")}</h2>
      <p class="note">${t("crowd-help")}</p>
      <form onSubmit=${gather}>
        <div class="pair">
          <label>${t("customers")}<input name="customers" type="number" min="1" max="500" value="200" required /></label>
          <label>${t("pieces")}<input name="pieces" type="number" min="0" max="100000" value="50" required /></label>
        </div>
        <button type="submit" aria-busy=${busy}>${t("let-them-in")}</button>
        ${problem && html`<${Problem} text=${problem} />`}
      </form>
      ${crowd && html`<${Outcome} crowd=${crowd} />`}
    </article>
  `;
}

function Outcome({ crowd }) {
  const { statuses, reasons } = crowd;
  const sold = statuses.completed ?? 0;
  const decided = ["completed", "failed", "cancelled"].reduce((sum, status) => sum + (statuses[status] ?? 0), crowd.refused);
  return html`
    <div class="outcome">
      <progress value=${decided} max=${crowd.wanted} aria-label=${t("decided")}></progress>
      <dl class="facts">
        <div><dt>${t("sold")}</dt><dd><b>${whole(sold)}</b> ${t("of", { number: whole(crowd.pieces) })}</dd></div>
        <div><dt>${t("held-now")}</dt><dd>${whole(crowd.held)}</dd></div>
        <div><dt>${t("free-now")}</dt><dd>${whole(crowd.free)}</dd></div>
        ${Object.entries(reasons).map(([reason, number]) => html`<div key=${reason}><dt>${named("reason", reason)}</dt><dd>${whole(number)}</dd></div>`)}
        ${crowd.refused > 0 && html`<div><dt>${t("refused")}</dt><dd>${whole(crowd.refused)}</dd></div>`}
      </dl>
      <p class=${crowd.kept ? "good" : "problem"} role="status">${!crowd.kept ? t("oversold") : crowd.settled ? t("not-oversold", { sold: whole(sold), free: whole(crowd.free) }) : t("under-way")}</p>
    </div>
  `;
}
