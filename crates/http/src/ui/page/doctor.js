// What is wrong, what that holds up, and what to do.

import { View, command, h, mark } from "./dom.js";

const KINDS = { error: "wrong", warning: "moves", note: "" };

class Doctor extends View {
  draw({ news }) {
    const { findings } = news;
    if (findings.length === 0) return [mark("well", "nothing is wrong"), command("jedlik-admin doctor")];
    return [...findings.map((one) => h("div", { class: "finding" }, mark(KINDS[one.severity] ?? "", one.severity), " ", one.what,
      one.holds_up && h("p", { class: "small soft" }, `Holds up: ${one.holds_up}`), h("p", { class: "small" }, `To do: ${one.to_do}`))), command("jedlik-admin doctor")];
  }
}

customElements.define("jedlik-doctor", Doctor);
