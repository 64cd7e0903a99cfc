// What the page is about, and whether its news are fresh.

import { View, h, mark } from "./dom.js";
import { nameOf, state } from "./news.js";

class Status extends View {
  connectedCallback() {
    super.connectedCallback();
    this.setAttribute("role", "status");
    this.replaceChildren(mark("", "connecting"));
    addEventListener("jedlik-cut", (event) => { if (event.detail && !state.news) this.replaceChildren(mark("wrong", "no answer yet; trying again")); });
  }

  draw({ news, cut }) {
    const { cluster } = news;
    const silent = cluster.members.filter((one) => !one.alive && !["left", "removed"].includes(one.state));
    const health = cut
      ? mark("wrong", "cut off; trying again")
      : silent.length > 0
        ? mark("wrong", `${silent.map((one) => one.name).join(", ")} not answering`)
        : cluster.flipped < cluster.partitions
          ? mark("moves", "data is moving")
          : mark("well", "all answer");
    return [
      health,
      h("span", {}, `cluster ${cluster.cluster.slice(0, 8)}`),
      h("span", {}, cluster.layout > 0 ? `layout ${cluster.layout}` : "no layout yet"),
      h("span", {}, `as ${nameOf(news, cluster.node)} sees it`),
    ];
  }
}

customElements.define("jedlik-status", Status);
