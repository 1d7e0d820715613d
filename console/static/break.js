// Break: what a person may break in development, beside what becomes of it.

import { html, useState } from "/static/vendor/htm-preact.js";
import { Lanes } from "/static/live.js";
import { ask, lane, Problem, t, useAct, whole } from "/static/parts.js";

const ANSWERS = ["normal", "declined", "error", "silent"];
const COUNTED = ["wipe", "again"];

export function Break({ picture }) {
  const [busy, problem, run] = useAct();
  const [said, setSaid] = useState("");
  const act = (name, more = {}) =>
    run(async () => {
      setSaid("");
      const { number } = await ask("/api/break", { act: name, ...more });
      const values = { lane: more.service ? lane(more.service) : "", number: COUNTED.includes(name) ? whole(number) : "" };
      setSaid(t(`broken.${name}`, values));
    });
  if (!picture) return html`<h1>${t("view.break")}</h1><p aria-busy="true">${t("feed.connecting")}</p>`;
  return html`
    <h1>${t("view.break")}</h1>
    <p class="note">${t("break-help")}</p>
    ${problem && html`<${Problem} text=${problem} />`}
    <p aria-live="polite" class=${said ? "good" : "unseen"}>${said}</p>
    <section aria-labelledby="lanes">
      <h2 id="lanes">${t("lanes")}</h2>
      <${Lanes} lanes=${picture.lanes} acts=${(each) => html`<${Acts} of=${each} busy=${busy} act=${act} />`} />
    </section>
    <div class="panels">
      <section class="panel" aria-labelledby="gateway">
        <h2 id="gateway">${t("gateway")}</h2>
        <p class="note">${t("gateway-help")}</p>
        <div class="acts">
          ${ANSWERS.map((answers) => html`<button type="button" class="quiet" aria-busy=${busy} onClick=${() => act("gateway", { answers })}>${t(`answers.${answers}`)}</button>`)}
        </div>
      </section>
      <section class="panel" aria-labelledby="messages">
        <h2 id="messages">${t("messages")}</h2>
        <p class="note">${t("messages-help")}</p>
        <div class="acts">
          <button type="button" class="quiet" aria-busy=${busy} onClick=${() => act("poison")}>${t("send-poison")}</button>
          <button type="button" class="quiet" aria-busy=${busy} onClick=${() => act("again")}>${t("send-again")}</button>
        </div>
      </section>
    </div>
  `;
}

const Acts = ({ of, busy, act }) => html`
  <div class="acts">
    ${of.replicas.map(
      (replica) => html`<button key=${replica.name} type="button" class="quiet danger" aria-busy=${busy} title=${replica.name} onClick=${() => act("kill", { service: of.name, replica: replica.name })}>
        ${t("kill")}<span class="unseen"> ${lane(of.name)} ${replica.name}</span>
      </button>`,
    )}
    <button type="button" class="quiet" aria-busy=${busy} onClick=${() => act("disconnect", { service: of.name })}>${t("cut")}<span class="unseen"> ${lane(of.name)}</span></button>
    <button type="button" class="quiet" aria-busy=${busy} onClick=${() => act("wipe", { service: of.name })}>${t("wipe")}<span class="unseen"> ${lane(of.name)}</span></button>
  </div>
`;
