// The settings page: appearance, passwords of other players, blocked artists, the user's own password.

import { administrationPanels } from "./administration.js";
import { get, post, put, remove, upload } from "./api.js";
import { setSound, sound } from "./sound.js";
import { button, formatRelativeTime, h, icon, plural, toast } from "./ui.js";

const panel = (title, ...rest) => h("section", { class: "panel" }, h("h2", {}, title), ...rest);

export function makeSettings({ session, player }) {
  function appearance() {
    const chosen = document.documentElement.dataset.theme ?? "auto";
    const choose = (event) => {
      session.theme(event.target.textContent);
      for (const chip of event.target.parentNode.children) chip.setAttribute("aria-pressed", String(chip === event.target));
    };
    return panel("Appearance", h("div", { class: "chips" }, ["auto", "light", "dark"].map((name) =>
      h("button", { type: "button", class: "chip", "aria-pressed": String(name === chosen), onclick: choose }, name))));
  }

  function soundPanel() {
    const choice = (name, label, options) => {
      const choose = (value, event) => {
        setSound(name, value);
        player.applyGain();
        for (const chip of event.target.parentNode.children) chip.setAttribute("aria-pressed", String(chip === event.target));
      };
      return h("div", { class: "choice", role: "group", "aria-label": label }, h("span", {}, label), h("div", { class: "chips" }, options.map(([value, text]) =>
        h("button", { type: "button", class: "chip", "aria-pressed": String(sound[name] === value), onclick: (event) => choose(value, event) }, text))));
    };
    return panel("Sound",
      choice("quality", "Quality", [["auto", "automatic"], ["original", "original"], ["small", "small"]]),
      h("p", { class: "soft" }, "“Automatic” is the small file on mobile data, where the browser says so, and else the original."),
      choice("gain", "Loudness (ReplayGain)", [["off", "as it is"], ["track", "same for all tracks"], ["album", "same for all albums"]]),
      choice("crossfade", "Crossfade", [[0, "none"], [3, "3 s"], [6, "6 s"], [12, "12 s"]]));
  }

  function otherPlayers(appPasswords) {
    const newSecret = h("div", { role: "status" });
    const label = h("input", { "aria-label": "Name of the client", placeholder: "Feishin on my phone", maxlength: 80, required: true });
    const list = h("ul", { class: "rows" });
    const revoke = async (appPassword) => {
      await remove(`app-passwords/${appPassword.id}`);
      show(await get("app-passwords"));
    };
    const show = (current) => list.replaceChildren(...current.map((appPassword) =>
      h("li", {}, h("span", {}, appPassword.label, " ", h("span", { class: "soft" }, formatRelativeTime(appPassword.created))),
        button("x", `Revoke ${appPassword.label}`, () => revoke(appPassword).catch((problem) => toast(problem.message))))));
    const create = async (event) => {
      event.preventDefault();
      try {
        const created = await post("app-passwords", { label: label.value });
        newSecret.replaceChildren(h("p", { class: "secret", tabindex: 0, "aria-label": "App password" }, created.secret), h("p", { class: "soft" }, "Copy it now: it is shown only once."));
        label.value = "";
        show(await get("app-passwords"));
      } catch (problem) {
        toast(problem.message);
      }
    };
    show(appPasswords);
    return panel("Other players",
      h("p", { class: "soft" }, `Any Subsonic client can play from ${location.origin} as user ${session.user}, and ListenBrainz clients can submit listens to it, each with its own app password:`),
      h("form", { class: "field", onsubmit: create }, label, h("button", { class: "pill" }, "Create a password")), newSecret, list);
  }

  // Import of a history: a file that is dropped or chosen.
  function historyImport() {
    const status = h("p", { class: "soft", role: "status" });
    const send = async (file) => {
      if (!file) return;
      box.setAttribute("aria-busy", "true");
      status.textContent = `Importing ${file.name} …`;
      try {
        const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        const found = await upload("history-import", { name: file.name, timezone }, file);
        status.textContent = `${plural(found.listens, "listen")} read: ${found.imported.toLocaleString("en")} imported, ${found.known.toLocaleString("en")} there already, ${found.unmatched.toLocaleString("en")} of tracks that are not in the collection`
          + (found.top_unmatched.length ? `, as ${found.top_unmatched.slice(0, 3).join("; ")}.` : ".");
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
      } }, icon("clock"), h("span", {}, "Drop a file here, or choose one"));
    return panel("Your history from elsewhere",
      h("p", { class: "soft" }, "Plays exported by ListenBrainz, Last.fm, Spotify, Apple Music, YouTube Music, Deezer, Maloja, Koito or Pano Scrobbler; the recommendations follow them too."),
      file, box, status);
  }

  function blockedArtists(blocked) {
    return panel("Blocked artists", h("ul", { class: "rows" }, blocked.map(({ id, name }) => {
      const unblock = () => put(`artists/${id}/blocked`, { blocked: false }).then(() => row.remove(), (problem) => toast(problem.message));
      const row = h("li", {}, h("span", {}, name), button("x", `Play ${name} again`, unblock));
      return row;
    })));
  }

  function account() {
    const current = h("input", { type: "password", "aria-label": "Current password", placeholder: "Current password", autocomplete: "current-password", required: true });
    const newPassword = h("input", { type: "password", "aria-label": "New password", placeholder: "New password", autocomplete: "new-password", minlength: 8, maxlength: 200, required: true });
    const change = async (event) => {
      event.preventDefault();
      try {
        await put("password", { old: current.value, new: newPassword.value });
        event.target.reset();
        toast("Your password is changed; you are logged out everywhere else");
      } catch (problem) {
        toast(problem.status === 403 ? "That is not your current password" : problem.message);
      }
    };
    const logOut = async () => {
      await post("logout");
      location.reload();
    };
    return panel(`Logged in as ${session.user}`,
      h("form", { class: "field", onsubmit: change }, h("input", { type: "text", name: "username", autocomplete: "username", value: session.user, hidden: true, readonly: true }), current, newPassword, h("button", { class: "pill" }, "Change")),
      h("p", { class: "field" }, h("button", { type: "button", class: "pill ghost", onclick: logOut }, "Log out")));
  }

  return async () => {
    const [appPasswords, blocked, administration] = await Promise.all([get("app-passwords"), get("blocked"), administrationPanels(session)]);
    return [h("div", { class: "top" }, h("h1", {}, "Settings")), appearance(), soundPanel(), otherPlayers(appPasswords), historyImport(),
      blocked.length ? blockedArtists(blocked) : null, session.users ? account() : null, ...administration];
  };
}
