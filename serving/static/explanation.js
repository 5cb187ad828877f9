// "Why this?": the listener's own tracks that lead to a recommended one, and what to do if it does not please.

import { get } from "./api.js";
import { sayWord } from "./server_words.js";
import { t } from "./strings.js";
import { cover, h, icon, showDialog, toast } from "./ui.js";

const say = (words) => words.map(sayWord).join(", ");

function evidence({ track, finished, words, similarity }, hasDegree) {
  const degree = similarity >= 0.8 ? "why.very" : similarity >= 0.5 ? "why.similar" : "why.little"; // as the server's reasons
  const facts = [hasDegree ? t(degree) : null, track.liked ? t("why.liked") : null, finished ? t("why.finished", { count: finished }) : null, words.length ? t("why.alike", { words: say(words) }) : null];
  return h("li", { class: "line" }, h("div", { class: "art" }, cover(track, 96)),
    h("div", { class: "text" }, h("div", { class: "name" }, track.title), h("div", { class: "who" }, track.artist),
      h("div", { class: "why" }, facts.filter(Boolean).join(" · "))));
}

const group = (title, found, hasDegree) => (found.length ? [h("h3", {}, title), h("ul", { class: "lines" }, found.map((each) => evidence(each, hasDegree)))] : []);

// Open the dialog for a track; rate(track, liked) and block(track) are the actions of `items`.
export async function explain(track, { rate, block }) {
  const body = h("div", { "aria-busy": "true", class: "explanation" }, h("div", { class: "skeleton rows" }, h("div", { class: "bone" }, h("i", {}), h("i", {}), h("i", {}))));
  const act = (action) => () => {
    dialog.close();
    action();
  };
  const dialog = showDialog(t("why.title", track), body, h("div", { class: "tools" },
    h("button", { type: "button", class: "pill ghost", onclick: act(() => rate(track, false)) }, icon("no"), t(track.liked === false ? "track.unless" : "track.less")),
    h("button", { type: "button", class: "pill ghost", onclick: act(() => block(track)) }, icon("x"), t("artist.block", { name: track.artist }))));
  try {
    const { words, sound, listeners } = await get(`tracks/${encodeURIComponent(track.id)}/why`);
    body.replaceChildren(
      ...(words.length ? [h("p", { class: "soft" }, t("why.words", { words: say(words) }))] : []),
      ...group(t("why.sound"), sound, true), ...group(t("why.listeners"), listeners, false),
      ...(sound.length || listeners.length ? [] : [h("p", {}, t("why.nothing"))]));
    body.removeAttribute("aria-busy");
  } catch (problem) {
    dialog.close();
    toast(problem.message);
  }
}
