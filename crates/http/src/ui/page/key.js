// Where a key belongs, and what each member holds of it.

import { command, h, mark } from "./dom.js";
import { bytes } from "./amounts.js";
import { nameOf, state } from "./news.js";

class Key extends HTMLElement {
  connectedCallback() {
    this.bucket = h("input", { name: "bucket", required: true, autocomplete: "off", spellcheck: "false", placeholder: "carts" });
    this.key = h("input", { name: "key", required: true, autocomplete: "off", spellcheck: "false", placeholder: "alice" });
    const form = h("form", { onsubmit: (event) => { event.preventDefault(); this.explain(); } },
      h("label", {}, "Bucket", this.bucket), h("label", {}, "Key", this.key), h("button", { class: "button", type: "submit" }, "Explain"));
    this.answer = h("div", { "aria-live": "polite" }, h("p", { class: "empty" }, "Name a key to see its owners, its versions, and who is behind."));
    this.replaceChildren(form, this.answer);
  }

  async explain() {
    const [bucket, key] = [this.bucket.value, this.key.value];
    this.answer.replaceChildren(h("div", { class: "loading", "aria-label": "Loading" }));
    const path = `/v1/buckets/${encodeURIComponent(bucket)}/keys/${encodeURIComponent(key)}/explain`;
    try {
      const response = await fetch(path);
      const told = await response.json();
      this.answer.replaceChildren(...(response.ok ? this.draw(told, bucket, key) : [mark("wrong", told.detail ?? "the node refused it")]));
    } catch {
      this.answer.replaceChildren(mark("wrong", "the node does not answer; try again"));
    }
  }

  draw(told, bucket, key) {
    const rows = told.holders.map((one) => h("tr", {},
      h("td", {}, state.news ? nameOf(state.news, one.node) : one.node.slice(0, 8)),
      h("td", {}, one.primary ? `owner ${one.rank + 1}` : `stands in ${one.rank - told.n + 1}`),
      h("td", {}, status(one)), h("td", {}, versions(one))));
    const table = h("table", {},
      h("thead", {}, h("tr", {}, ["Member", "Place", "Copy", "Holds"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows));
    const found = told.merged ? describe(told.merged) : "Nobody holds anything of it.";
    return [h("p", { class: "small" }, `Partition ${told.partition}, n = ${told.n}. ${found}`), h("div", { class: "scroll" }, table),
      command(`jedlik-admin explain ${quoted(bucket)} ${quoted(key)}`)];
  }
}

function status(one) {
  if (one.holds === null) return mark("wrong", one.alive ? "no answer" : "down");
  if (one.holds.damaged) return mark("wrong", "damaged");
  if (one.up_to_date) return one.holds.record || one.primary ? mark("well", "up to date") : mark("", "nothing");
  return one.primary ? mark("moves", "behind") : mark("", "beside");
}

function versions(one) {
  if (one.holds === null) return "–";
  const hints = one.holds.hints.length > 0 ? ` and a hint for ${one.holds.hints.map((hint) => (state.news ? nameOf(state.news, hint.target) : hint.target.slice(0, 8))).join(", ")}` : "";
  return (one.holds.record ? describe(one.holds.record) : "no record") + hints;
}

function describe(record) {
  const live = record.siblings.filter((sibling) => !sibling.deleted);
  if (live.length === 0) return "It was deleted.";
  const sizes = live.map((sibling) => bytes(sibling.value_bytes)).join(", ");
  return live.length === 1 ? `One value, ${sizes}.` : `${live.length} siblings: ${sizes}.`;
}

function quoted(text) {
  return /^[\w.:@/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

customElements.define("jedlik-key", Key);
