// The player bar and the sheet "Now playing".

import { makeLyrics } from "./lyrics.js";
import { END_OF_TRACK } from "./player.js";
import { sayReason } from "./server_words.js";
import { language, t } from "./strings.js";
import { button, cover, formatDuration, h, icon, menu, toast } from "./ui.js";

const range = (label, action) => h("input", { type: "range", min: 0, max: 1000, value: 0, step: 1, "aria-label": label, oninput: action });

// Fill the bar; `rail` gives the blocks of what comes next.
export function makeBar(player, items, rail) {
  const bar = document.getElementById("bar");
  const sheet = document.getElementById("sheet");
  const controls = []; // one set in the bar, one in the sheet

  function makeControls() {
    const set = {
      play: h("button", { type: "button", class: "big", onclick: () => player.toggle() }, icon("play")),
      previous: button("previous", t("player.previous"), () => player.previous()),
      next: button("next", t("player.next"), () => player.next()),
      shuffle: button("shuffle", t("player.shuffle"), () => player.toggleShuffle()),
      repeat: button("repeat", t("player.repeatOff"), () => player.cycleRepeat()),
      seek: range(t("player.position"), (event) => player.seek((event.target.value / 1000) * player.duration)),
      elapsed: h("span", {}, "0:00"),
      total: h("span", {}, "0:00"),
    };
    controls.push(set);
    return set;
  }

  const queueLink = () => h("a", { class: "icon", href: "#/queue", "aria-label": t("page.queue"), title: t("page.queue"), onclick: () => sheet.close() }, icon("queue"));

  function sleepButton() {
    const opener = button("moon", t("sleep.label"), () => menu(opener, [
      ...[15, 30, 60].map((minutes) => [t("sleep.in", { count: minutes }), "clock", () => (player.sleepIn(minutes), toast(t("sleep.set", { count: minutes })))]),
      [t("sleep.afterTrack"), "next", () => (player.sleepIn(END_OF_TRACK), toast(t("sleep.setAfterTrack")))],
      ...(player.sleepAt ? [[t("sleep.cancel"), "x", () => player.sleepIn(0)]] : []),
    ]), { "aria-haspopup": "menu" });
    player.addEventListener("change", () => {
      const time = new Date(player.sleepAt).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
      const text = player.sleepAt > 0 ? t("sleep.labelAt", { time }) : t(player.sleepAt ? "sleep.labelAfterTrack" : "sleep.label");
      opener.setAttribute("aria-label", text);
      opener.title = text;
      opener.classList.toggle("on", Boolean(player.sleepAt));
    });
    return opener;
  }

  function makeBar() {
    const c = makeControls();
    for (const control of [c.shuffle, c.repeat, c.previous]) control.classList.add("wide");
    const volume = range(t("player.volume"), (event) => player.setVolume(event.target.value / 1000));
    const mute = button("volume", t("player.mute"), () => player.mute());
    const current = h("div", { class: "current" });
    bar.append(current,
      h("div", { class: "middle" },
        h("div", { class: "keys" }, c.shuffle, c.previous, c.play, c.next, c.repeat),
        h("div", { class: "seek" }, c.elapsed, c.seek, c.total)),
      h("div", { class: "right" }, button("lyrics", t("player.lyrics"), () => openSheet() && toggleLyrics(true)), queueLink(), sleepButton(), mute, volume));
    player.addEventListener("change", () => {
      mute.replaceChildren(icon(player.muted || !player.volume ? "muted" : "volume"));
      mute.setAttribute("aria-pressed", String(player.muted));
      volume.value = Math.round(player.volume * 1000);
      volume.style.setProperty("--part", `${player.muted ? 0 : player.volume * 100}%`);
      volume.setAttribute("aria-valuetext", t("player.percent", { percent: Math.round(player.volume * 100) }));
    });
    player.addEventListener("change", () => bar.classList.toggle("busy", Boolean(player.pendingRadio)));
    const showTrack = () => {
      const { track } = player;
      if (!track) return current.replaceChildren(h("div", { class: "blank" }), h("div", { class: "words" }, h("b", {}, t("player.nothing")), h("span", {}, t("player.pressPlay"))));
      const { reason } = player.current;
      current.replaceChildren(
        h("button", { type: "button", class: "open", "aria-label": t("player.open", track), onclick: openSheet },
          cover(track, 96, { loading: "eager" }), h("span", { class: "words" }, h("b", {}, track.title), h("span", {}, track.artist + (reason ? ` · ${sayReason(reason)}` : "")))),
        items.heart(track));
    };
    player.addEventListener("track", showTrack);
    showTrack();
  }

  let fillSheet;
  let toggleLyrics; // (visible)
  function openSheet() {
    if (!player.track) return false;
    if (!fillSheet) {
      const c = makeControls();
      const words = h("div", {});
      const side = h("div", { class: "end" });
      const front = h("img", { class: "front", alt: "", width: 600, height: 600 });
      const wash = h("img", { alt: "" });
      const list = h("div", {});
      const lyrics = makeLyrics(player);
      const lyricsButton = button("lyrics", t("player.lyrics"), () => toggleLyrics(lyrics.element.hidden), { "aria-pressed": "false" });
      toggleLyrics = (visible) => {
        lyricsButton.setAttribute("aria-pressed", String(visible));
        sheet.classList.toggle("with-lyrics", visible);
        lyrics.show(visible);
      };
      sheet.append(h("div", { class: "wash" }, wash), h("div", { class: "inner" },
        h("div", { class: "keys" }, button("down", t("player.close"), () => sheet.close()), h("span", { class: "soft" }, t("player.now")), h("span", { class: "end" }, lyricsButton, sleepButton(), queueLink())),
        front, lyrics.element, h("div", { class: "title" }, words, side),
        h("div", { class: "seek" }, c.elapsed, c.seek, c.total),
        h("div", { class: "play" }, c.shuffle, c.previous, c.play, c.next, c.repeat), list));
      fillSheet = () => {
        const { track, current } = player;
        if (!track) return;
        const coverSource = cover(track, 600).src;
        if (front.src !== coverSource) {
          front.style.background = cover(track, 600).style.background;
          front.src = coverSource;
          wash.src = cover(track, 96).src;
        }
        words.replaceChildren(h("h2", {}, track.title), h("a", { class: "soft", href: `#/artist/${track.artist_id}`, onclick: () => sheet.close() }, track.artist),
          current.reason ? h("button", { type: "button", class: "why", onclick: () => items.why(track) }, sayReason(current.reason), icon("question")) : "");
        side.replaceChildren(items.heart(track), items.more(track));
        list.replaceChildren(...rail.blocks(6));
      };
      for (const type of ["track", "recommended", "change"]) player.addEventListener(type, () => sheet.open && fillSheet());
    }
    fillSheet();
    refresh();
    if (!sheet.open) sheet.showModal();
    return true;
  }

  function refresh() {
    for (const c of controls) {
      c.play.replaceChildren(icon(player.playing ? "pause" : "play"));
      c.play.setAttribute("aria-label", t(player.playing ? "player.pause" : "player.play"));
      c.shuffle.setAttribute("aria-pressed", String(player.shuffle));
      c.repeat.setAttribute("aria-pressed", String(player.repeat !== "off"));
      c.repeat.classList.toggle("one", player.repeat === "one");
      const label = t({ off: "player.repeatOff", all: "player.repeatAll", one: "player.repeatOne" }[player.repeat]);
      c.repeat.setAttribute("aria-label", label);
      c.repeat.title = label;
    }
    document.title = player.track && player.playing ? `${player.track.title} · ${player.track.artist}` : "Segue";
    tick();
  }

  function tick() {
    const { position, duration } = player;
    const fraction = duration ? Math.min(1, position / duration) : 0;
    for (const c of controls) {
      c.elapsed.textContent = formatDuration(position);
      c.total.textContent = formatDuration(duration);
      c.seek.value = Math.round(fraction * 1000);
      c.seek.style.setProperty("--part", `${fraction * 100}%`);
      c.seek.setAttribute("aria-valuetext", t("player.positionOf", { position: formatDuration(position), duration: formatDuration(duration) }));
    }
  }

  makeBar();
  player.addEventListener("change", refresh);
  player.addEventListener("tick", tick);
  refresh();
}
