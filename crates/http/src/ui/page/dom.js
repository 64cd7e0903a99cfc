// Elements from data. Text is always set as text, so nothing that a client has named can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** Makes an HTML element. */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Makes an SVG element. */
export function s(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Shows a command that an admin can type. */
export function command(text) {
  return h("code", { class: "command" }, text);
}

/** Shows a word with a shape and a colour that say the same. */
export function mark(kind, word) {
  return h("span", { class: `mark ${kind}` }, word);
}

/** Element that is drawn anew with each piece of news, once there is any. */
export class View extends HTMLElement {
  connectedCallback() {
    this.replaceChildren(h("div", { class: "loading", "aria-label": "Loading" }));
    addEventListener("jedlik-news", (event) => this.show(event.detail));
  }

  show(news) {
    const focused = this.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
    this.replaceChildren(...[this.draw(news)].flat().filter(Boolean));
    if (focused) this.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}
