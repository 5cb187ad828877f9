// Media keys of keyboards, headphones and lock screens.

import { coverUrl } from "./api.js";

const hasKeys = "mediaSession" in navigator;

export function listenToMediaKeys(player) {
  if (!hasKeys) return;
  const actions = {
    play: () => player.toggle(),
    pause: () => player.pause(),
    nexttrack: () => player.next(),
    previoustrack: () => player.previous(),
    seekto: (details) => player.seek(details.seekTime),
    seekforward: (details) => player.seek(player.position + (details.seekOffset || 10)),
    seekbackward: (details) => player.seek(player.position - (details.seekOffset || 10)),
  };
  for (const [name, action] of Object.entries(actions))
    try {
      navigator.mediaSession.setActionHandler(name, action);
    } catch {
      // This browser does not support the key.
    }
  player.addEventListener("change", () => (navigator.mediaSession.playbackState = player.playing ? "playing" : "paused"));
  player.addEventListener("track", () => player.track && describe(player.track));
}

function describe(track) {
  const { title, artist, album } = track;
  const artwork = [96, 300, 600].map((size) => ({ src: coverUrl(track, size), sizes: `${size}x${size}`, type: "image/jpeg" }));
  navigator.mediaSession.metadata = new MediaMetadata({ title, artist, album, artwork });
}
