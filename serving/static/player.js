// The player: the queue, and two audio elements in turn, so that the next track is loaded before the present one ends.

import { audioUrl, coverUrl, post, reportEvent } from "./api.js";

const KEY_PREFIX = "segue.player."; // followed by the user's name: each user has a queue
const PRELOAD_S = 20;
const MAX_PLAYED = 300; // ids of played tracks, which radio and recommendations exclude
const MAX_FAILURES = 8; // tracks in a row that cannot be played, before the player stops
const MAX_PAST = 100; // played tracks at the head of the queue; above, only the last KEPT_PAST stay
const KEPT_PAST = 50;
const SAVED_PAST = 20; // tracks of the queue that are stored before and after the present one
const SAVED_UPCOMING = 200;
const SAVE_INTERVAL_MS = 2000;

export class Player extends EventTarget {
  #radioRequests = new WeakMap(); // by radio: the promise of the request under way

  constructor() {
    super();
    this.queue = []; // {track, reason}
    this.index = -1; // of the present track in the queue
    this.played = []; // ids of played tracks, oldest first
    this.recommended = []; // {track, reason, score}
    this.radio = null; // {seed, label, salt}
    this.pendingRadio = null; // the radio requested last, until it plays or the user chooses something else
    this.startCount = 0; // raised by every start: a request that began before it must not start its own track any more
    this.shuffle = false;
    this.repeat = "off"; // off, all, one
    this.volume = 1;
    this.muted = false;
    this.restoredPosition = 0; // seconds, where the track goes on after a reload
    this.user = null; // until the server has answered
    this.failures = 0;
    this.started = false; // whether "started" was reported for the present track
    this.audios = [this.#createAudio(), this.#createAudio()];
    this.#registerMediaKeys();
    addEventListener("pagehide", () => this.#save());
    setInterval(() => this.playing && this.#save(), SAVE_INTERVAL_MS);
  }

  get audio() { return this.audios[0]; }
  get current() { return this.queue[this.index] ?? null; }
  get track() { return this.current?.track ?? null; }
  get playing() { return !this.audio.paused && !this.audio.ended && !this.audio.error; }
  get position() { return this.audio.src ? this.audio.currentTime || this.restoredPosition : this.restoredPosition; }
  get duration() {
    const { duration } = this.audio;
    return Number.isFinite(duration) && duration > 0 ? duration : this.track?.duration_s ?? 0;
  }
  get upcoming() { return this.queue.slice(this.index + 1); }
  // Recommendations that play when the queue has ended.
  get suggestions() {
    const excluded = new Set([...this.queue.map((item) => item.track.id), ...this.played.slice(-30)]);
    return this.recommended.filter((item) => !excluded.has(item.track.id));
  }

  #createAudio() {
    const audio = new Audio();
    audio.preload = "auto";
    const ifPresent = (handler) => (event) => audio === this.audio && handler(event);
    audio.addEventListener("timeupdate", ifPresent(() => this.#tick()));
    audio.addEventListener("play", ifPresent(() => this.#notifyChange()));
    audio.addEventListener("pause", ifPresent(() => this.#notifyChange()));
    audio.addEventListener("durationchange", ifPresent(() => this.#tick()));
    audio.addEventListener("playing", ifPresent(() => this.#reportStart()));
    audio.addEventListener("ended", ifPresent(() => this.#ended()));
    audio.addEventListener("error", ifPresent(() => this.#failed()));
    return audio;
  }

  #notifyChange() {
    if ("mediaSession" in navigator) navigator.mediaSession.playbackState = this.playing ? "playing" : "paused";
    this.dispatchEvent(new Event("change"));
  }

  #tick() {
    this.dispatchEvent(new Event("tick"));
    if (this.duration - this.audio.currentTime < PRELOAD_S && this.repeat !== "one") this.#preload();
  }

  #reportStart() {
    this.failures = 0;
    if (!this.started && this.track) {
      this.started = true;
      reportEvent("started", this.track, this.audio.currentTime);
    }
  }

  async #preload() {
    const startCount = this.startCount;
    const next = await this.#nextItem();
    if (startCount !== this.startCount || !next || next.track.id === this.track?.id) return;
    const url = new URL(audioUrl(next.track), location).href;
    if (this.audios[1].src !== url) {
      this.audios[1].src = url;
      this.audios[1].load();
    }
  }

  // Return the item that plays next; a radio without upcoming tracks is asked for more.
  async #nextItem() {
    if (this.index + 1 < this.queue.length) return this.queue[this.index + 1];
    if (this.radio) await this.#extendRadio();
    if (this.index + 1 < this.queue.length) return this.queue[this.index + 1];
    if (this.repeat === "all" && this.queue.length) return this.queue[0];
    return this.suggestions[0] ?? null;
  }

  // Append tracks to the radio. Preloading and advancing may both ask at once: they share one request.
  #extendRadio() {
    const { radio } = this;
    if (!this.#radioRequests.has(radio))
      this.#radioRequests.set(radio, this.#appendRadio(radio).finally(() => this.#radioRequests.delete(radio)));
    return this.#radioRequests.get(radio);
  }

  async #appendRadio(radio) {
    const played = [...new Set([...this.played, ...this.queue.map((item) => item.track.id)])];
    try {
      const items = await this.#fetchRadio(radio, played);
      if (this.radio !== radio) return; // it has ended meanwhile
      this.queue.push(...items);
      this.#notifyChange();
    } catch {
      // The server does not answer: the recommendations loaded before play instead.
    }
  }

  // Fetch ten tracks of a radio. If all of a small collection has been played, only the latest tracks are excluded.
  async #fetchRadio({ seed, label, salt }, played) {
    const fetchExcluding = (ids) => post("radio", { ...seed, played: ids, count: 10, salt });
    let list = await fetchExcluding(played.slice(-500));
    if (!list.items.length) list = await fetchExcluding(played.slice(-10));
    return list.items.map((track) => ({ track, reason: label }));
  }

  #ended() {
    if (this.track) reportEvent("finished", this.track, this.duration);
    if (this.repeat === "one") {
      this.started = false;
      this.audio.currentTime = 0;
      this.audio.play();
      return;
    }
    this.#addToPlayed();
    this.#advance();
  }

  // A missing file is skipped; many in a row mean that the server does not answer.
  #failed() {
    if (!this.track || !this.audio.src) return;
    this.failures += 1;
    this.dispatchEvent(new CustomEvent("problem", { detail: `${this.track.title} cannot be played` }));
    this.#addToPlayed();
    const startCount = this.startCount;
    if (this.failures < MAX_FAILURES) setTimeout(() => startCount === this.startCount && this.#advance(), 300 * this.failures);
    else this.#notifyChange();
  }

  #addToPlayed() {
    if (this.track) this.played = [...this.played, this.track.id].slice(-MAX_PLAYED);
  }

  async #advance() {
    const startCount = this.startCount;
    const next = await this.#nextItem();
    if (startCount !== this.startCount) return;
    if (!next) return this.#notifyChange();
    if (this.index + 1 < this.queue.length) this.index += 1;
    else if (this.repeat === "all" && this.queue[0] === next) this.index = 0;
    else {
      this.queue.push({ track: next.track, reason: next.reason });
      this.index = this.queue.length - 1;
    }
    if (this.index > MAX_PAST) {
      this.queue.splice(0, this.index - KEPT_PAST);
      this.index = KEPT_PAST;
    }
    this.#start();
  }

  #start({ position = 0, play = true } = {}) {
    this.startCount += 1;
    const url = new URL(audioUrl(this.track), location).href;
    if (this.audios[1].src === url) this.audios.reverse();
    this.audios[1].pause();
    this.started = false;
    this.restoredPosition = 0;
    if (this.audio.src !== url || this.audio.error) this.audio.src = url;
    this.audio.currentTime = position;
    this.#applyVolume();
    if (play) this.audio.play().catch(() => this.#notifyChange());
    this.#updateMediaSession();
    this.#save();
    this.dispatchEvent(new Event("track"));
    this.#notifyChange();
  }

  // Report the present track as skipped if it was playing.
  #reportSkip() {
    if (this.track && this.started && !this.audio.ended) {
      reportEvent("skipped", this.track, this.audio.currentTime);
      this.#addToPlayed();
    }
    this.started = false;
  }

  // --- actions of the user ---

  // Play a list of items from a position on.
  play(items, index = 0) {
    this.#reportSkip();
    this.radio = null;
    this.pendingRadio = null;
    this.queue = items.map((item) => ({ track: item.track ?? item, reason: item.reason ?? "" }));
    this.index = index;
    if (this.shuffle) this.#shuffleAhead();
    this.#start();
  }

  // Start a radio; the present track plays on until the first tracks of the radio have arrived.
  async playRadio(seed, label) {
    const radio = { seed, label, salt: Math.floor(Math.random() * 2 ** 30) };
    this.pendingRadio = radio;
    let items;
    try {
      items = await this.#fetchRadio(radio, this.played);
    } catch (problem) {
      return this.dispatchEvent(new CustomEvent("problem", { detail: problem.message }));
    }
    if (this.pendingRadio !== radio) return; // the user has chosen something else meanwhile
    if (!items.length) return this.dispatchEvent(new CustomEvent("problem", { detail: "No tracks for this radio" }));
    this.#reportSkip();
    Object.assign(this, { radio, pendingRadio: null, queue: items, index: 0 });
    this.#start();
  }

  jump(index) {
    this.#reportSkip();
    this.pendingRadio = null;
    this.index = index;
    this.#start();
  }

  add(track, where = "end") {
    const item = { track, reason: "" };
    if (where === "next") this.queue.splice(this.index + 1, 0, item);
    else this.queue.push(item);
    if (this.index < 0) {
      this.index = 0;
      this.#start({ play: false });
    }
    this.#save();
    this.#notifyChange();
  }

  removeAt(index) {
    this.queue.splice(index, 1);
    this.#save();
    this.#notifyChange();
  }

  clear() {
    this.queue.splice(this.index + 1);
    this.radio = null;
    this.pendingRadio = null;
    this.#save();
    this.#notifyChange();
  }

  toggle() {
    if (!this.track) {
      const first = this.suggestions[0] ?? this.recommended[0];
      return first && this.play([first]);
    }
    if (this.playing) return this.audio.pause();
    if (!this.audio.src || this.audio.error) return this.#start({ position: this.restoredPosition });
    this.audio.play().catch(() => {});
  }

  pause() { this.audio.pause(); }

  async next() {
    this.#reportSkip();
    await this.#advance();
  }

  previous() {
    if (this.position > 4 || this.index <= 0) return this.seek(0);
    this.#reportSkip();
    this.pendingRadio = null;
    this.index -= 1;
    this.#start();
  }

  seek(seconds) {
    if (!this.track) return;
    const target = Math.min(Math.max(0, seconds), Math.max(0, this.duration - 0.1));
    if (this.audio.src) this.audio.currentTime = target;
    else this.restoredPosition = target;
    this.dispatchEvent(new Event("tick"));
    this.#save();
  }

  setVolume(volume) {
    this.volume = Math.min(1, Math.max(0, volume));
    this.muted = false;
    this.#applyVolume();
  }

  mute() {
    this.muted = !this.muted;
    this.#applyVolume();
  }

  #applyVolume() {
    // The square of the slider is nearer to perceived loudness.
    for (const audio of this.audios) audio.volume = this.muted ? 0 : this.volume ** 2;
    this.#notifyChange();
  }

  toggleShuffle() {
    this.shuffle = !this.shuffle;
    if (this.shuffle) this.#shuffleAhead();
    this.#save();
    this.#notifyChange();
  }

  #shuffleAhead() {
    for (let last = this.queue.length - 1; last > this.index + 1; last -= 1) {
      const other = this.index + 1 + Math.floor(Math.random() * (last - this.index));
      [this.queue[last], this.queue[other]] = [this.queue[other], this.queue[last]];
    }
  }

  cycleRepeat() {
    this.repeat = { off: "all", all: "one", one: "off" }[this.repeat];
    this.#save();
    this.#notifyChange();
  }

  recommend(items) {
    this.recommended = items;
    this.dispatchEvent(new Event("recommended"));
  }

  // Copy a track's new rating to the queue and the recommendations.
  updateRating(track) {
    for (const item of [...this.queue, ...this.recommended]) if (item.track.id === track.id) item.track.liked = track.liked;
    this.#notifyChange();
  }

  // Remove unwanted tracks from the upcoming ones.
  removeUnwanted(isUnwanted) {
    this.queue = this.queue.filter((item, index) => index <= this.index || !isUnwanted(item.track));
    this.recommended = this.recommended.filter((item) => !isUnwanted(item.track));
    this.#notifyChange();
    this.dispatchEvent(new Event("recommended"));
  }

  // --- storage ---

  setUser(name) {
    this.user = name;
    this.#restore();
    this.setVolume(this.volume);
    this.dispatchEvent(new Event("track"));
  }

  #save() {
    if (!this.user) return;
    const { queue, index, played, radio, shuffle, repeat, volume, position } = this;
    const first = Math.max(0, index - SAVED_PAST);
    const saved = {
      queue: queue.slice(first, index + SAVED_UPCOMING), index: index - first, played, radio, shuffle, repeat, volume, position,
    };
    try {
      localStorage.setItem(KEY_PREFIX + this.user, JSON.stringify(saved));
    } catch {
      // Without storage nothing is restored after a reload.
    }
  }

  #restore() {
    try {
      const saved = JSON.parse(localStorage.getItem(KEY_PREFIX + this.user));
      if (!Number.isInteger(saved?.index)) return;
      const { queue, index, played, radio, shuffle, repeat, volume, position } = saved;
      Object.assign(this, { queue, index, played, radio, shuffle, repeat, volume, restoredPosition: position || 0 });
      this.#updateMediaSession();
    } catch {
      // Without a readable saved state the player starts empty.
    }
  }

  // --- media keys of keyboards, headphones and lock screens ---

  #registerMediaKeys() {
    if (!("mediaSession" in navigator)) return;
    const actions = {
      play: () => this.toggle(),
      pause: () => this.pause(),
      nexttrack: () => this.next(),
      previoustrack: () => this.previous(),
      seekto: (details) => this.seek(details.seekTime),
      seekforward: (details) => this.seek(this.position + (details.seekOffset || 10)),
      seekbackward: (details) => this.seek(this.position - (details.seekOffset || 10)),
    };
    for (const [name, action] of Object.entries(actions))
      try {
        navigator.mediaSession.setActionHandler(name, action);
      } catch {
        // This browser does not support the key.
      }
  }

  #updateMediaSession() {
    if (!("mediaSession" in navigator) || !this.track) return;
    const { title, artist, album } = this.track;
    const artwork = [96, 300, 600].map((size) => ({ src: coverUrl(this.track, size), sizes: `${size}x${size}`, type: "image/jpeg" }));
    navigator.mediaSession.metadata = new MediaMetadata({ title, artist, album, artwork });
  }
}
