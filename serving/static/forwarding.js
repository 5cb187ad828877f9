// The settings' panel of forwarding: my plays go on to ListenBrainz and Last.fm.

import { get, post, put, remove } from "./api.js";
import { t } from "./strings.js";
import { button, h, toast } from "./ui.js";

const NAMES = { listenbrainz: "ListenBrainz", lastfm: "Last.fm" };

// "Plays are forwarded", how many wait or were refused, and why the last try failed.
function describe(found) {
  const counts = [["pending", "forwarding.pending"], ["refused", "forwarding.refused"]]
    .filter(([name]) => found[name]).map(([name, key]) => t(key, { count: found[name] }));
  return [t("forwarding.on"), ...counts, found.last_error].filter(Boolean).join(" · ");
}

// One service's row; `found` is what the server says of it.
function row(service, found) {
  const name = NAMES[service];
  const show = (current) => element.replaceChildren(h("span", {}, name), ...(current.enabled ? connected(current) : FORMS[service]()));
  const change = (request) => request.then(show, (problem) => toast(problem.message));

  const connected = (current) => [h("span", { class: "soft", role: "status" }, describe(current)),
    button("x", t("forwarding.stop", { name }), () => change(remove(`forwarding/${service}`).then(() => get(`forwarding/${service}`))))];

  function tokenForm() {
    const token = h("input", { type: "password", "aria-label": t("forwarding.token"), placeholder: t("forwarding.token"), minlength: 8, maxlength: 128, autocomplete: "off", required: true });
    const connect = (event) => {
      event.preventDefault();
      change(put("forwarding/listenbrainz", { token: token.value.trim() }));
    };
    return [h("form", { class: "field", onsubmit: connect }, token, h("button", { class: "pill" }, t("forwarding.connect")))];
  }

  // Two presses: a page of Last.fm's opens to allow it, then the login is finished here.
  function login() {
    const begin = async () => {
      try {
        const { token, url } = await post("forwarding/lastfm/login", {});
        element.replaceChildren(h("span", {}, name), h("a", { class: "pill", href: url, target: "_blank", rel: "noopener noreferrer" }, t("forwarding.allow")),
          h("button", { type: "button", class: "pill ghost", onclick: () => change(put("forwarding/lastfm", { token })) }, t("forwarding.allowed")));
      } catch (problem) {
        toast(problem.message);
      }
    };
    return [h("button", { type: "button", class: "pill", onclick: begin }, t("forwarding.connect"))];
  }

  const FORMS = { listenbrainz: tokenForm, lastfm: login };
  const element = h("li", {});
  show(found);
  return element;
}

export async function forwardingPanel() {
  const services = Object.keys(NAMES);
  const found = await Promise.all(services.map((service) => get(`forwarding/${service}`)));
  const rows = services.map((service, number) => (found[number].available ? row(service, found[number]) : null));
  return h("section", { class: "panel" }, h("h2", {}, t("forwarding.title")), h("p", { class: "soft" }, t("forwarding.note")),
    h("ul", { class: "rows" }, rows));
}
