// The page of settings: the look, other players' passwords, who is not played, one's own password.

import { get, post, put, remove } from "./api.js";
import { ago, button, h, toast } from "./ui.js";

const panel = (title, ...rest) => h("section", { class: "panel" }, h("h2", {}, title), ...rest);

export function makeSettings(session) {
  function look() {
    const chosen = document.documentElement.dataset.theme ?? "auto";
    const choose = (event) => {
      session.theme(event.target.textContent);
      for (const each of event.target.parentNode.children) each.setAttribute("aria-pressed", String(each === event.target));
    };
    return panel("Look", h("div", { class: "chips" }, ["auto", "light", "dark"].map((name) =>
      h("button", { type: "button", class: "chip", "aria-pressed": String(name === chosen), onclick: choose }, name))));
  }

  function players(clients) {
    const made = h("div", { role: "status" });
    const label = h("input", { "aria-label": "Name of the client", placeholder: "Feishin on my phone", maxlength: 80, required: true });
    const listed = h("ul", { class: "rows" });
    const takeBack = async (client) => {
      await remove(`clients/${client.id}`);
      show(await get("clients"));
    };
    const show = (all) => listed.replaceChildren(...all.map((client) =>
      h("li", {}, h("span", {}, client.label, " ", h("span", { class: "soft" }, ago(client.created))),
        button("x", `Take back ${client.label}`, () => takeBack(client).catch((problem) => toast(problem.message))))));
    const make = async (event) => {
      event.preventDefault();
      try {
        const client = await post("clients", { label: label.value });
        made.replaceChildren(h("p", { class: "secret", tabindex: 0, "aria-label": "App password" }, client.secret), h("p", { class: "soft" }, "It is shown this once."));
        label.value = "";
        show(await get("clients"));
      } catch (problem) {
        toast(problem.message);
      }
    };
    show(clients);
    return panel("Other players",
      h("p", { class: "soft" }, `Any Subsonic client plays from ${location.origin} as user ${session.user}, and ListenBrainz clients report to it, each with a password of its own:`),
      h("form", { class: "field", onsubmit: make }, label, h("button", { class: "pill" }, "Make a password")), made, listed);
  }

  function unplayed(blocked) {
    return panel("Never played to you", h("ul", { class: "rows" }, blocked.map(({ id, name }) => {
      const again = () => put(`artists/${id}/blocked`, { blocked: false }).then(() => row.remove(), (problem) => toast(problem.message));
      const row = h("li", {}, h("span", {}, name), button("x", `Play ${name} again`, again));
      return row;
    })));
  }

  function account() {
    const old = h("input", { type: "password", "aria-label": "Present password", placeholder: "Present password", autocomplete: "current-password", required: true });
    const wanted = h("input", { type: "password", "aria-label": "New password", placeholder: "New password", autocomplete: "new-password", minlength: 8, maxlength: 200, required: true });
    const change = async (event) => {
      event.preventDefault();
      try {
        await put("password", { old: old.value, new: wanted.value });
        event.target.reset();
        toast("Your password is changed; you are logged out everywhere else");
      } catch (problem) {
        toast(problem.status === 403 ? "That is not your present password" : problem.message);
      }
    };
    const logOut = async () => {
      await post("logout");
      location.reload();
    };
    return panel(`Logged in as ${session.user}`,
      h("form", { class: "field", onsubmit: change }, h("input", { type: "text", name: "username", autocomplete: "username", value: session.user, hidden: true, readonly: true }), old, wanted, h("button", { class: "pill" }, "Change")),
      h("p", { class: "field" }, h("button", { type: "button", class: "pill ghost", onclick: logOut }, "Log out")));
  }

  return async () => {
    const [clients, blocked] = await Promise.all([get("clients"), get("blocked")]);
    return [h("div", { class: "top" }, h("h1", {}, "Settings")), look(), players(clients),
      blocked.length ? unplayed(blocked) : null, session.users ? account() : null];
  };
}
