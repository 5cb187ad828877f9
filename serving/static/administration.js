// Panels of the settings for the one who runs Segue: users, the collection, rejected files.

import { get, post, remove } from "./api.js";
import { ask, button, formatRelativeTime, h, plural, toast } from "./ui.js";

const N_REJECTS = 20; // rejected files before "all"
const panel = (title, ...rest) => h("section", { class: "panel" }, h("h2", {}, title), ...rest);

async function users(session) {
  const list = h("ul", { class: "rows" });
  const name = h("input", { "aria-label": "Name of the new user", placeholder: "Name", required: true, maxlength: 64, autocomplete: "off", autocapitalize: "none" });
  const password = h("input", { type: "password", "aria-label": "Password of the new user", placeholder: "Password", required: true, minlength: 8, maxlength: 200, autocomplete: "new-password" });
  const admin = h("input", { type: "checkbox" });
  const run = (action) => action.then(async () => show(await get("users"))).catch((problem) => toast(problem.message));
  const show = (found) => list.replaceChildren(...found.map((user) => h("li", {}, h("span", {}, user.name, user.admin ? h("span", { class: "soft" }, " · admin") : ""),
    user.name === session.user ? null : button("x", `Remove ${user.name}`, () => erase(user)))));
  const erase = async (user) => {
    const answer = await ask({ title: `Remove ${user.name}?`, explanation: "Likes and plays stay under the name, which nobody else gets.", action: "Remove" });
    if (answer !== null) run(remove(`users/${encodeURIComponent(user.name)}`));
  };
  const add = (event) => {
    event.preventDefault();
    run(post("users", { name: name.value.trim(), password: password.value, admin: admin.checked }).then(() => event.target.reset()));
  };
  show(await get("users"));
  return panel("Users", list, h("form", { class: "field", onsubmit: add }, name, password, h("label", { class: "check" }, admin, "admin"), h("button", { class: "pill" }, "Add")));
}

async function collection(session) {
  const rejected = await get("rejected-files");
  const row = (file) => h("li", { class: "reject" }, h("span", {}, h("b", {}, file.path), h("span", { class: "soft" }, `${file.step}: ${file.reason} · ${formatRelativeTime(file.first_seen)}`)));
  const list = h("ul", { class: "rows" }, rejected.items.slice(0, N_REJECTS).map(row));
  const all = h("button", { type: "button", class: "link", onclick: () => {
    list.replaceChildren(...rejected.items.map(row));
    all.remove();
  } }, `Show ${rejected.items.length}`);
  return panel("The collection",
    h("p", { class: "soft" }, `${plural(session.tracks, "track")}; ${session.model_version ? `model ${session.model_version} is online` : "no model is online yet (segue publish)"}; ${session.waiting ? `${plural(session.waiting, "play")} wait for Kafka` : "no plays wait"}.`),
    h("h3", {}, rejected.total ? `${plural(rejected.total, "file")} could not be used` : "Every file can be used"), list,
    rejected.items.length > N_REJECTS ? all : null);
}

// The panels that this user may see.
export const administrationPanels = async (session) => {
  if (session.users && !session.admin) return [];
  const [state, ...rest] = await Promise.all([get("state"), session.users ? users(session) : null]);
  return [...rest, await collection(state)];
};
