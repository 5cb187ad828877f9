// What plays: two audio elements in turn (the next track is loaded before this one ends), the queue, and where it goes on.

import { audioUrl, coverUrl, post, tell } from "./api.js";

const KEY = "segue.player."; // and the listener's name: nobody sees another's queue
const PRELOAD_S = 20;
const REMEMBERED = 300; // ids of played tracks, which radio and recommendations leave out

export class Player extends EventTarget {
  #asked = new WeakMap(); // of a radio: its answer that is on the way

  constructor() {
    super();
    this.queue = []; // {track, reason}
    this.at = -1;
    this.played = []; // ids, oldest first
    this.recommended = []; // {track, reason, score}
    this.radio = null; // {seed, label, salt}
    this.wish = null; // the radio asked for last, until it is there or something else is chosen
    this.turn = 0; // raised by every start: who has waited since an earlier one has nothing to start any more
    this.shuffle = false;
    this.repeat = "off"; // off, all, one
    this.volume = 1;
    this.muted = false;
    this.restored = 0; // seconds to begin at, after a reload
    this.listener = null; // until the server has said who
    this.failures = 0;
    this.started = false; // whether "started" was told for what plays
    this.audios = [this.#audio(), this.#audio()];
    this.#mediaKeys();
    addEventListener("pagehide", () => this.#save());
    setInterval(() => this.playing && this.#save(), 2000);
  }

  get audio() { return this.audios[0]; }
  get current() { return this.queue[this.at] ?? null; }
  get track() { return this.current?.track ?? null; }
  get playing() { return !this.audio.paused && !this.audio.ended && !this.audio.error; }
  get position() { return this.audio.src ? this.audio.currentTime || this.restored : this.restored; }
  get duration() {
    const real = this.audio.duration;
    return Number.isFinite(real) && real > 0 ? real : this.track?.duration_s ?? 0;
  }
  get ahead() { return this.queue.slice(this.at + 1); }
  // Recommendations that come when the queue has ended.
  get suggestions() {
    const taken = new Set([...this.queue.map((item) => item.track.id), ...this.played.slice(-30)]);
    return this.recommended.filter((item) => !taken.has(item.track.id));
  }

  #audio() {
    const audio = new Audio();
    audio.preload = "auto";
    const mine = (handler) => (event) => audio === this.audio && handler(event);
    audio.addEventListener("timeupdate", mine(() => this.#tick()));
    audio.addEventListener("play", mine(() => this.#changed()));
    audio.addEventListener("pause", mine(() => this.#changed()));
    audio.addEventListener("durationchange", mine(() => this.#tick()));
    audio.addEventListener("playing", mine(() => this.#began()));
    audio.addEventListener("ended", mine(() => this.#ended()));
    audio.addEventListener("error", mine(() => this.#failed()));
    return audio;
  }

  #changed() {
    if ("mediaSession" in navigator) navigator.mediaSession.playbackState = this.playing ? "playing" : "paused";
    this.dispatchEvent(new Event("change"));
  }

  #tick() {
    this.dispatchEvent(new Event("tick"));
    if (this.duration - this.audio.currentTime < PRELOAD_S && this.repeat !== "one") this.#preload();
  }

  #began() {
    this.failures = 0;
    if (!this.started && this.track) {
      this.started = true;
      tell("started", this.track, this.audio.currentTime);
    }
  }

  async #preload() {
    const mine = this.turn;
    const next = await this.#peek();
    if (mine !== this.turn || !next || next.track.id === this.track?.id) return;
    const url = new URL(audioUrl(next.track), location).href;
    if (this.audios[1].src !== url) {
      this.audios[1].src = url;
      this.audios[1].load();
    }
  }

  // What would play next; a radio that runs out is asked for more.
  async #peek() {
    if (this.at + 1 < this.queue.length) return this.queue[this.at + 1];
    if (this.radio) await this.#moreRadio();
    if (this.at + 1 < this.queue.length) return this.queue[this.at + 1];
    if (this.repeat === "all" && this.queue.length) return this.queue[0];
    return this.suggestions[0] ?? null;
  }

  // Every tick comes here, as does who goes on: all wait for one answer, which is let go where its radio has ended meanwhile.
  #moreRadio() {
    const { radio } = this;
    if (!this.#asked.has(radio)) this.#asked.set(radio, this.#lengthen(radio).finally(() => this.#asked.delete(radio)));
    return this.#asked.get(radio);
  }

  async #lengthen(radio) {
    const played = [...new Set([...this.played, ...this.queue.map((item) => item.track.id)])];
    try {
      const more = await this.#askRadio(radio, played);
      if (this.radio !== radio) return;
      this.queue.push(...more);
      this.#changed();
    } catch {
      // The server is away: the recommendations that are here go on.
    }
  }

  // A small collection has been heard whole one day: then only the latest are left out, for the radio never ends.
  async #askRadio({ seed, label, salt }, played) {
    const ask = (from) => post("radio", { ...seed, played: played.slice(from), count: 10, salt });
    let more = await ask(-500);
    if (!more.items.length) more = await ask(-10);
    return more.items.map((track) => ({ track, reason: label }));
  }

  #ended() {
    if (this.track) tell("finished", this.track, this.duration);
    if (this.repeat === "one") {
      this.started = false;
      this.audio.currentTime = 0;
      this.audio.play();
      return;
    }
    this.#remember();
    this.#advance();
  }

  // A file that is gone must not end the evening; but a dozen in a row means that the server is.
  #failed() {
    if (!this.track || !this.audio.src) return;
    this.failures += 1;
    this.dispatchEvent(new CustomEvent("problem", { detail: `${this.track.title} cannot be played` }));
    this.#remember();
    const mine = this.turn;
    if (this.failures < 8) setTimeout(() => mine === this.turn && this.#advance(), 300 * this.failures);
    else this.#changed();
  }

  #remember() {
    if (this.track) this.played = [...this.played, this.track.id].slice(-REMEMBERED);
  }

  async #advance() {
    const mine = this.turn;
    const next = await this.#peek();
    if (mine !== this.turn) return;
    if (!next) return this.#changed();
    if (this.at + 1 < this.queue.length) this.at += 1;
    else if (this.repeat === "all" && this.queue[0] === next) this.at = 0;
    else {
      this.queue.push({ track: next.track, reason: next.reason });
      this.at = this.queue.length - 1;
    }
    if (this.at > 100) {
      this.queue.splice(0, this.at - 50);
      this.at = 50;
    }
    this.#start();
  }

  #start(position = 0, play = true) {
    this.turn += 1;
    const url = new URL(audioUrl(this.track), location).href;
    if (this.audios[1].src === url) this.audios.reverse();
    this.audios[1].pause();
    this.started = false;
    this.restored = 0;
    if (this.audio.src !== url || this.audio.error) this.audio.src = url;
    this.audio.currentTime = position;
    this.#level();
    if (play) this.audio.play().catch(() => this.#changed());
    this.#describe();
    this.#save();
    this.dispatchEvent(new Event("track"));
    this.#changed();
  }

  #skipped() {
    if (this.track && this.started && !this.audio.ended) {
      tell("skipped", this.track, this.audio.currentTime);
      this.#remember();
    }
    this.started = false;
  }

  // --- what the listener does ---

  play(items, at = 0) {
    this.#skipped();
    this.radio = this.wish = null;
    this.queue = items.map((item) => ({ track: item.track ?? item, reason: item.reason ?? "" }));
    this.at = at;
    if (this.shuffle) this.#shuffleAhead();
    this.#start();
  }

  // What plays now plays on until the radio is there.
  async playRadio(seed, label) {
    const radio = (this.wish = { seed, label, salt: Math.floor(Math.random() * 2 ** 30) });
    let items;
    try {
      items = await this.#askRadio(radio, this.played);
    } catch (problem) {
      return this.dispatchEvent(new CustomEvent("problem", { detail: problem.message }));
    }
    if (this.wish !== radio) return;
    if (!items.length) return this.dispatchEvent(new CustomEvent("problem", { detail: "There is nothing to play from here" }));
    this.#skipped();
    Object.assign(this, { radio, wish: null, queue: items, at: 0 });
    this.#start();
  }

  jump(position) {
    this.#skipped();
    this.wish = null;
    this.at = position;
    this.#start();
  }

  add(track, where = "end") {
    const item = { track, reason: "" };
    if (where === "next") this.queue.splice(this.at + 1, 0, item);
    else this.queue.push(item);
    if (this.at < 0) {
      this.at = 0;
      this.#start(0, false);
    }
    this.#save();
    this.#changed();
  }

  drop(position) {
    this.queue.splice(position, 1);
    this.#save();
    this.#changed();
  }

  clear() {
    this.queue.splice(this.at + 1);
    this.radio = this.wish = null;
    this.#save();
    this.#changed();
  }

  toggle() {
    if (!this.track) {
      const first = this.suggestions[0] ?? this.recommended[0];
      return first && this.play([first]);
    }
    if (this.playing) return this.audio.pause();
    if (!this.audio.src || this.audio.error) return this.#start(this.restored);
    this.audio.play().catch(() => {});
  }

  pause() { this.audio.pause(); }

  async next() {
    this.#skipped();
    await this.#advance();
  }

  previous() {
    if (this.position > 4 || this.at <= 0) return this.seek(0);
    this.#skipped();
    this.wish = null;
    this.at -= 1;
    this.#start();
  }

  seek(seconds) {
    if (!this.track) return;
    const target = Math.min(Math.max(0, seconds), Math.max(0, this.duration - 0.1));
    if (this.audio.src) this.audio.currentTime = target;
    else this.restored = target;
    this.dispatchEvent(new Event("tick"));
    this.#save();
  }

  setVolume(volume) {
    this.volume = Math.min(1, Math.max(0, volume));
    this.muted = false;
    this.#level();
  }

  mute() {
    this.muted = !this.muted;
    this.#level();
  }

  #level() {
    // Loudness goes with the square of the slider, nearer to how it is heard.
    for (const audio of this.audios) audio.volume = this.muted ? 0 : this.volume ** 2;
    this.#changed();
  }

  toggleShuffle() {
    this.shuffle = !this.shuffle;
    if (this.shuffle) this.#shuffleAhead();
    this.#save();
    this.#changed();
  }

  #shuffleAhead() {
    for (let last = this.queue.length - 1; last > this.at + 1; last -= 1) {
      const other = this.at + 1 + Math.floor(Math.random() * (last - this.at));
      [this.queue[last], this.queue[other]] = [this.queue[other], this.queue[last]];
    }
  }

  cycleRepeat() {
    this.repeat = { off: "all", all: "one", one: "off" }[this.repeat];
    this.#save();
    this.#changed();
  }

  recommend(items) {
    this.recommended = items;
    this.dispatchEvent(new Event("recommended"));
  }

  // Like, dislike and the like: wherever the track is shown, the same is said.
  rated(track) {
    for (const item of [...this.queue, ...this.recommended]) if (item.track.id === track.id) item.track.liked = track.liked;
    this.#changed();
  }

  // What is not wanted any more leaves what is to come.
  forget(unwanted) {
    this.queue = this.queue.filter((item, place) => place <= this.at || !unwanted(item.track));
    this.recommended = this.recommended.filter((item) => !unwanted(item.track));
    this.#changed();
    this.dispatchEvent(new Event("recommended"));
  }

  // --- what is remembered ---

  listenAs(name) {
    this.listener = name;
    this.#restore();
    this.setVolume(this.volume);
    this.dispatchEvent(new Event("track"));
  }

  #save() {
    if (!this.listener) return;
    const { queue, at, played, radio, shuffle, repeat, volume } = this;
    const from = Math.max(0, at - 20);
    const kept = { queue: queue.slice(from, at + 200), at: at - from, played, radio, shuffle, repeat, volume, position: this.position };
    try {
      localStorage.setItem(KEY + this.listener, JSON.stringify(kept));
    } catch {
      // Nothing is remembered then.
    }
  }

  #restore() {
    try {
      localStorage.removeItem("segue.player"); // an older page's, and nobody's
      const kept = JSON.parse(localStorage.getItem(KEY + this.listener));
      if (!kept) return;
      const { queue, at, played, radio, shuffle, repeat, volume, position } = kept;
      Object.assign(this, { queue, at, played, radio, shuffle, repeat, volume, restored: position || 0 });
      this.#describe();
    } catch {
      // An older page's memory, or none: begin anew.
    }
  }

  // --- the keys of keyboards, headphones and lock screens ---

  #mediaKeys() {
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
    for (const [name, act] of Object.entries(actions))
      try {
        navigator.mediaSession.setActionHandler(name, act);
      } catch {
        // This browser has no such key.
      }
  }

  #describe() {
    if (!("mediaSession" in navigator) || !this.track) return;
    const { title, artist, album } = this.track;
    const artwork = [96, 300, 600].map((size) => ({ src: coverUrl(this.track, size), sizes: `${size}x${size}`, type: "image/jpeg" }));
    navigator.mediaSession.metadata = new MediaMetadata({ title, artist, album, artwork });
  }
}
