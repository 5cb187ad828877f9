// The settings page: appearance, passwords of other players, blocked artists, the user's own password.

import { administrationPanels } from "./administration.js";
import { get, post, put, remove, upload } from "./api.js";
import { forwardingPanel } from "./forwarding.js";
import { endOffline } from "./offline.js";
import { setSound, sound } from "./sound.js";
import { LANGUAGES, chosenLanguage, setLanguage, t } from "./strings.js";
import { button, formatRelativeTime, h, icon, toast } from "./ui.js";

const panel = (title, ...rest) => h("section", { class: "panel" }, h("h2", {}, title), ...rest);

// A value with a button that copies it, where the browser allows that (not without TLS).
function copied(label, value, className = "") {
  const copy = () => navigator.clipboard.writeText(value).then(() => toast(t("settings.copied")), (problem) => toast(problem.message));
  return h("p", { class: "copied" }, h("span", { class: "soft" }, label), h("code", { class: className, tabindex: 0, role: "textbox", "aria-readonly": "true", "aria-label": label }, value),
    navigator.clipboard ? h("button", { type: "button", class: "pill ghost", "aria-label": `${t("settings.copy")}: ${label}`, onclick: copy }, t("settings.copy")) : null);
}

// Chips of which one is chosen; `options` are [value, text].
function choice(label, options, chosen, choose) {
  const chips = h("div", { class: "chips" }, options.map(([value, text]) =>
    h("button", { type: "button", class: "chip", "aria-pressed": String(value === chosen), onclick: (event) => {
      choose(value);
      for (const chip of chips.children) chip.setAttribute("aria-pressed", String(chip === event.target));
    } }, text)));
  return h("div", { class: "choice", role: "group", "aria-label": label }, h("span", {}, label), chips);
}

export function makeSettings({ session, player }) {
  const appearance = () => panel(t("settings.appearance"),
    choice(t("settings.theme"), ["auto", "light", "dark"].map((name) => [name, t(`settings.theme.${name}`)]),
      document.documentElement.dataset.theme ?? "auto", session.theme),
    choice(t("settings.language"), [["auto", t("settings.language.auto")], ...Object.entries(LANGUAGES)], chosenLanguage(), setLanguage));

  function soundPanel() {
    const soundChoice = (name, label, options) => choice(label, options, sound[name], (value) => {
      setSound(name, value);
      player.applyGain();
    });
    return panel(t("settings.sound"),
      soundChoice("quality", t("settings.quality"), ["auto", "original", "small"].map((name) => [name, t(`settings.quality.${name}`)])),
      h("p", { class: "soft" }, t("settings.qualityNote")),
      soundChoice("gain", t("settings.gain"), ["off", "track", "album"].map((name) => [name, t(`settings.gain.${name}`)])),
      soundChoice("crossfade", t("settings.crossfade"), [[0, t("settings.crossfadeNone")], ...[3, 6, 12].map((seconds) => [seconds, t("settings.crossfadeSeconds", { seconds })])]));
  }

  function otherPlayers(appPasswords) {
    const newSecret = h("div", { role: "status" });
    const label = h("input", { "aria-label": t("settings.client"), placeholder: t("settings.clientExample"), maxlength: 80, required: true });
    const list = h("ul", { class: "rows" });
    const revoke = async (appPassword) => {
      await remove(`app-passwords/${appPassword.id}`);
      show(await get("app-passwords"));
    };
    const show = (current) => list.replaceChildren(...current.map((appPassword) =>
      h("li", {}, h("span", {}, appPassword.label, " ", h("span", { class: "soft" }, formatRelativeTime(appPassword.created))),
        button("x", t("settings.revoke", { name: appPassword.label }), () => revoke(appPassword).catch((problem) => toast(problem.message))))));
    const create = async (event) => {
      event.preventDefault();
      try {
        const created = await post("app-passwords", { label: label.value });
        newSecret.replaceChildren(copied(t("settings.address"), location.origin), copied(t("settings.user"), session.user),
          copied(t("settings.appPassword"), created.secret, "secret"), h("p", { class: "soft" }, t("settings.copyNow")));
        label.value = "";
        show(await get("app-passwords"));
      } catch (problem) {
        toast(problem.message);
      }
    };
    show(appPasswords);
    return panel(t("settings.players"),
      h("p", { class: "soft" }, t("settings.playersNote", { address: location.origin, user: session.user })),
      h("form", { class: "field", onsubmit: create }, label, h("button", { class: "pill" }, t("settings.createPassword"))), newSecret, list);
  }

  // Import of a history: a file that is dropped or chosen.
  function historyImport() {
    const status = h("p", { class: "soft", role: "status" });
    const send = async (file) => {
      if (!file) return;
      box.setAttribute("aria-busy", "true");
      status.textContent = t("import.busy", { name: file.name });
      try {
        const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        const found = await upload("history-import", { name: file.name, timezone }, file);
        status.textContent = t("import.done", { ...found, count: found.listens })
          + (found.top_unmatched.length ? ` ${t("import.examples", { examples: found.top_unmatched.slice(0, 3).join("; ") })}` : "");
      } catch (problem) {
        status.textContent = problem.message;
      }
      box.removeAttribute("aria-busy");
    };
    const file = h("input", { type: "file", id: "history-file", class: "visually-hidden", onchange: () => send(file.files[0]) });
    const box = h("label", { class: "drop", for: "history-file",
      ondragover: (event) => (event.preventDefault(), box.classList.add("over")),
      ondragleave: () => box.classList.remove("over"),
      ondrop: (event) => {
        event.preventDefault();
        box.classList.remove("over");
        send(event.dataTransfer.files[0]);
      } }, icon("clock"), h("span", {}, t("import.drop")));
    return panel(t("import.title"),
      h("p", { class: "soft" }, t("import.note")),
      file, box, status,
      h("p", {}, h("a", { class: "link", href: "/api/export/listens", download: "" }, t("settings.exportListens"))));
  }

  function blockedArtists(blocked) {
    return panel(t("settings.blocked"), h("ul", { class: "rows" }, blocked.map(({ id, name }) => {
      const unblock = () => put(`artists/${id}/blocked`, { blocked: false }).then(() => row.remove(), (problem) => toast(problem.message));
      const row = h("li", {}, h("span", {}, name), button("x", t("artist.unblock", { name }), unblock));
      return row;
    })));
  }

  function account() {
    const current = h("input", { type: "password", "aria-label": t("settings.currentPassword"), placeholder: t("settings.currentPassword"), autocomplete: "current-password", required: true });
    const newPassword = h("input", { type: "password", "aria-label": t("settings.newPassword"), placeholder: t("settings.newPassword"), autocomplete: "new-password", minlength: 8, maxlength: 200, required: true });
    const change = async (event) => {
      event.preventDefault();
      try {
        await put("password", { old: current.value, new: newPassword.value });
        event.target.reset();
        toast(t("settings.changed"));
      } catch (problem) {
        toast(problem.status === 403 ? t("settings.notCurrent") : problem.message);
      }
    };
    const logOut = async () => {
      await endOffline();
      await post("logout");
      location.reload();
    };
    return panel(t("settings.account", session),
      h("form", { class: "field", onsubmit: change }, h("input", { type: "text", name: "username", autocomplete: "username", value: session.user, hidden: true, readonly: true }), current, newPassword, h("button", { class: "pill" }, t("settings.change"))),
      h("p", { class: "field" }, h("button", { type: "button", class: "pill ghost", onclick: logOut }, t("settings.logOut"))));
  }

  return async () => {
    const [appPasswords, blocked, forwarding, administration] = await Promise.all(
      [get("app-passwords"), get("blocked"), forwardingPanel(), administrationPanels(session)]);
    return [h("div", { class: "top" }, h("h1", {}, t("page.settings"))), appearance(), soundPanel(), otherPlayers(appPasswords), historyImport(), forwarding,
      blocked.length ? blockedArtists(blocked) : null, session.users ? account() : null, ...administration];
  };
}
