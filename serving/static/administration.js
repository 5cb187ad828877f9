// Panels of the settings for the one who runs Segue: users, the collection, rejected files.

import { get, post, remove } from "./api.js";
import { t } from "./strings.js";
import { ask, button, formatRelativeTime, h, toast } from "./ui.js";

const N_REJECTS = 20; // rejected files before "all"
const panel = (title, ...rest) => h("section", { class: "panel" }, h("h2", {}, title), ...rest);

async function users(session) {
  const list = h("ul", { class: "rows" });
  const name = h("input", { "aria-label": t("admin.newName"), placeholder: t("login.name"), required: true, maxlength: 64, autocomplete: "off", autocapitalize: "none" });
  const password = h("input", { type: "password", "aria-label": t("admin.newPassword"), placeholder: t("login.password"), required: true, minlength: 8, maxlength: 200, autocomplete: "new-password" });
  const admin = h("input", { type: "checkbox" });
  const run = (action) => action.then(async () => show(await get("users"))).catch((problem) => toast(problem.message));
  const show = (found) => list.replaceChildren(...found.map((user) => h("li", {}, h("span", {}, user.name, user.admin ? h("span", { class: "soft" }, ` · ${t("admin.admin")}`) : ""),
    user.name === session.user ? null : button("x", t("admin.removeNamed", user), () => erase(user)))));
  const erase = async (user) => {
    const answer = await ask({ title: t("admin.removeTitle", user), explanation: t("admin.removeNote"), action: t("admin.remove") });
    if (answer !== null) run(remove(`users/${encodeURIComponent(user.name)}`));
  };
  const add = (event) => {
    event.preventDefault();
    run(post("users", { name: name.value.trim(), password: password.value, admin: admin.checked }).then(() => event.target.reset()));
  };
  show(await get("users"));
  return panel(t("admin.users"), list, h("form", { class: "field", onsubmit: add }, name, password, h("label", { class: "check" }, admin, t("admin.admin")), h("button", { class: "pill" }, t("admin.add"))));
}

async function collection(session) {
  const rejected = await get("rejected-files");
  const row = (file) => h("li", { class: "reject" }, h("span", {}, h("b", {}, file.path), h("span", { class: "soft" }, t("admin.rejectedFile", { ...file, when: formatRelativeTime(file.first_seen) }))));
  const list = h("ul", { class: "rows" }, rejected.items.slice(0, N_REJECTS).map(row));
  const all = h("button", { type: "button", class: "link", onclick: () => {
    list.replaceChildren(...rejected.items.map(row));
    all.remove();
  } }, t("queue.all", { count: rejected.items.length }));
  return panel(t("admin.collection"),
    h("p", { class: "soft" }, [t("count.tracks", { count: session.tracks }),
      session.model_version ? t("admin.model", { version: session.model_version }) : t("admin.noModel"),
      session.waiting ? t("count.plays", { count: session.waiting }) : t("admin.noPlays")].join("; ")),
    h("h3", {}, rejected.total ? t("admin.rejected", { count: rejected.total }) : t("admin.noneRejected")), list,
    rejected.items.length > N_REJECTS ? all : null);
}

// The panels that this user may see.
export const administrationPanels = async (session) => {
  if (session.users && !session.admin) return [];
  const [state, ...rest] = await Promise.all([get("state"), session.users ? users(session) : null]);
  return [...rest, await collection(state)];
};
