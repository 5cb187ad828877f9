// The player: the queue, what comes after it, and the actions on it.

import { audioUrl, get, post, reportEvent } from "./api.js";
import { Deck } from "./deck.js";
import { listenToMediaKeys } from "./media_keys.js";
import * as storage from "./player_storage.js";
import * as order from "./queue_order.js";
import { quality, sound } from "./sound.js";
import { t } from "./strings.js";

const PRELOAD_S = 20;
const MAX_PLAYED = 300; // ids of played tracks, which radio and recommendations exclude
const MAX_FAILURES = 8; // tracks in a row that cannot be played, before the player stops
const MAX_PAST = 100; // played tracks at the head of the queue; above, only the last KEPT_PAST stay
const KEPT_PAST = 50;
const SAVE_INTERVAL_MS = 2000;
const PLAN_S = 2; // before its end a track's successor is made ready to start
export const END_OF_TRACK = -1; // of the sleep timer

// Factor of the volume for a track, by its ReplayGain; 1 without. Louder than the file is not possible.
function gainOf(track) {
  const { album_gain_db: album, track_gain_db: alone } = track.gain ?? {};
  const decibels = { off: null, track: alone ?? album, album: album ?? alone }[sound.gain];
  return decibels == null ? 1 : Math.min(1, 10 ** (decibels / 20));
}

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
    this.sleepAt = 0; // when the music pauses: a time in milliseconds, END_OF_TRACK, or 0
    this.failures = 0;
    this.started = false; // whether "started" was reported for the present track
    this.small = new Set(); // ids of tracks whose original this browser cannot play
    this.deck = new Deck({
      change: () => this.#notifyChange(),
      tick: () => this.#tick(),
      playing: () => this.#reportStart(),
      ended: () => this.#ended(),
      failed: () => this.#failed(),
    });
    listenToMediaKeys(this);
    addEventListener("pagehide", () => this.#save());
    setInterval(() => this.playing && this.#save(), SAVE_INTERVAL_MS);
  }

  get audio() { return this.deck.audio; }
  get audios() { return this.deck.audios; }
  get current() { return this.queue[this.index] ?? null; }
  get track() { return this.current?.track ?? null; }
  get playing() { return this.deck.isPlaying; }
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

  #notifyChange() {
    this.dispatchEvent(new Event("change"));
  }

  #url(track) {
    return new URL(audioUrl(track, this.small.has(track.id) ? "small" : quality()), location).href;
  }

  #tick() {
    this.dispatchEvent(new Event("tick"));
    const left = this.duration - this.audio.currentTime;
    if (left < PRELOAD_S + sound.crossfade && this.repeat !== "one") this.#preload();
    if (left < PLAN_S + this.overlap && this.playing) this.deck.planHandOver(left, this.overlap, () => this.#handOver());
  }

  // Seconds that two tracks are heard together.
  get overlap() { return Math.min(sound.crossfade, this.duration / 3); }

  // Start the next track while this one ends, if it is loaded; else `#ended` starts it.
  #handOver() {
    const next = this.#nextKnown();
    const stops = this.repeat === "one" || this.sleepAt === END_OF_TRACK || !this.playing;
    if (stops || !next || next.track.id === this.track.id || !this.deck.isLoaded(this.#url(next.track))) return;
    if (this.duration - this.audio.currentTime > this.overlap + PLAN_S / 4) return; // it has stalled: the next tick plans again
    const { overlap } = this;
    reportEvent("finished", this.track, this.duration);
    this.#addToPlayed();
    this.#moveTo(next);
    this.startCount += 1;
    this.started = false;
    this.deck.handOver({ gain: gainOf(next.track), overlap }).catch(() => this.#notifyChange());
    this.#announceTrack();
  }

  #reportStart() {
    this.failures = 0;
    if (!this.started && this.track) {
      this.started = true;
      reportEvent("started", this.track, this.audio.currentTime);
      this.dispatchEvent(new Event("started"));
    }
  }

  async #preload() {
    const startCount = this.startCount;
    const next = await this.#nextItem();
    if (startCount !== this.startCount || !next || next.track.id === this.track?.id) return;
    this.#loadGain(next.track);
    this.deck.preload(this.#url(next.track));
  }

  // Ask for a track's ReplayGain once, if it is wanted.
  async #loadGain(track) {
    if (sound.gain === "off" || track.gain) return;
    track.gain = {};
    track.gain = await get(`tracks/${encodeURIComponent(track.id)}/gain`).catch(() => ({}));
    if (track === this.track) this.applyGain();
  }

  // Return the item that plays next; a radio without upcoming tracks is asked for more.
  async #nextItem() {
    if (this.index + 1 >= this.queue.length && this.radio) await this.#extendRadio();
    return this.#nextKnown();
  }

  #nextKnown() {
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
    if (this.sleepAt === END_OF_TRACK) return this.#fallAsleep();
    this.#advance();
  }

  // --- sleep timer ---

  // Pause in so many minutes, at the end of the track (END_OF_TRACK), or not at all (0).
  sleepIn(minutes) {
    clearTimeout(this.sleepTimer);
    this.sleepAt = minutes === END_OF_TRACK ? END_OF_TRACK : minutes ? Date.now() + minutes * 60_000 : 0;
    if (this.sleepAt > 0) this.sleepTimer = setTimeout(() => this.#fallAsleep(), minutes * 60_000);
    this.#notifyChange();
  }

  #fallAsleep() {
    this.sleepAt = 0;
    this.pause();
    this.dispatchEvent(new CustomEvent("problem", { detail: t("sleep.stopped") }));
    this.#notifyChange();
  }

  // What the browser cannot play is asked for as the small file. A missing file is skipped; many in a row mean that the server does not answer.
  #failed() {
    if (!this.track || !this.audio.src) return;
    const isUnplayable = (this.audio.error?.code ?? 0) >= MediaError.MEDIA_ERR_DECODE;
    if (isUnplayable && quality() === "original" && !this.small.has(this.track.id)) {
      this.small.add(this.track.id);
      return this.#start({ position: this.position });
    }
    this.small.delete(this.track.id); // it was not that
    this.failures += 1;
    this.dispatchEvent(new CustomEvent("problem", { detail: t("track.failed", this.track) }));
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
    this.#moveTo(next);
    this.#start();
  }

  // Make an item of `#nextKnown` the present one.
  #moveTo(next) {
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
  }

  #start({ position = 0, play = true } = {}) {
    this.startCount += 1;
    this.started = false;
    this.restoredPosition = 0;
    this.#loadGain(this.track);
    this.deck.start(this.#url(this.track), { gain: gainOf(this.track), position, play })?.catch(() => this.#notifyChange());
    this.#announceTrack();
  }

  #announceTrack() {
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
    if (this.shuffle) this.#shuffleUpcoming();
    this.#start();
  }

  // Play tracks in a random order, which "Shuffle" takes back.
  playShuffled(tracks) {
    if (!tracks.length) return;
    this.shuffle = false; // the order of the tracks is the one to restore
    const first = Math.floor(Math.random() * tracks.length);
    this.play([tracks[first], ...tracks.slice(0, first), ...tracks.slice(first + 1)]);
    this.queue.forEach((item, index) => (item.place = index === 0 ? first : index <= first ? index - 1 : index));
    this.shuffle = true;
    order.shuffle(this.queue, this.index);
    this.#save();
    this.#notifyChange();
  }

  // Start a radio; the present track plays on until the first tracks of the radio have arrived.
  async playRadio(seed, label) {
    const radio = { seed, label, salt: Math.floor(Math.random() * 2 ** 30) };
    this.pendingRadio = radio;
    this.#notifyChange();
    let items;
    try {
      items = await this.#fetchRadio(radio, this.played);
    } catch (problem) {
      return this.#endRadioRequest(radio, problem.message);
    }
    if (this.pendingRadio !== radio) return; // the user has chosen something else meanwhile
    if (!items.length) return this.#endRadioRequest(radio, t("group.noRadio"));
    this.#reportSkip();
    Object.assign(this, { radio, pendingRadio: null, queue: items, index: 0 });
    this.#start();
  }

  #endRadioRequest(radio, detail) {
    if (this.pendingRadio === radio) this.pendingRadio = null;
    this.#notifyChange();
    this.dispatchEvent(new CustomEvent("problem", { detail }));
  }

  jump(index) {
    this.#reportSkip();
    this.pendingRadio = null;
    this.index = index;
    this.#start();
  }

  add(track, where = "end") { this.addAll([track], where); }

  // Add tracks to the end of the queue, or after the present one.
  addAll(tracks, where = "end") {
    const added = tracks.map((track) => ({ track, reason: "" }));
    this.queue.splice(where === "next" ? this.index + 1 : this.queue.length, 0, ...added);
    if (this.index < 0 && added.length) {
      this.index = 0;
      this.#start({ play: false });
    }
    this.#save();
    this.#notifyChange();
  }

  // Move an item of the queue; what plays goes on.
  move(from, to) {
    const { current } = this;
    this.queue.splice(to, 0, ...this.queue.splice(from, 1));
    this.index = this.queue.indexOf(current);
    this.#save();
    this.#notifyChange();
  }

  removeAt(index) {
    this.queue.splice(index, 1);
    if (index < this.index) this.index -= 1;
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
    if (this.playing) return this.pause();
    if (!this.audio.src || this.audio.error) return this.#start({ position: this.restoredPosition });
    this.audio.play().catch(() => {});
  }

  pause() { this.deck.pause(); }

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
    this.deck.cancelHandOver();
    if (this.audio.src) this.audio.currentTime = target;
    else this.restoredPosition = target;
    this.dispatchEvent(new Event("tick"));
    this.#save();
  }

  // Apply a changed choice of ReplayGain to what plays.
  applyGain() {
    if (!this.track) return;
    this.#loadGain(this.track);
    this.deck.setGain(gainOf(this.track));
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
    this.deck.setVolume(this.muted ? 0 : this.volume ** 2);
    this.#notifyChange();
  }

  toggleShuffle() {
    this.shuffle = !this.shuffle;
    if (this.shuffle) this.#shuffleUpcoming();
    else order.restore(this.queue, this.index);
    this.#save();
    this.#notifyChange();
  }

  #shuffleUpcoming() {
    order.note(this.queue);
    order.shuffle(this.queue, this.index);
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
    Object.assign(this, storage.restore(name));
    this.setVolume(this.volume);
    this.dispatchEvent(new Event("track"));
  }

  #save() {
    if (this.user) storage.save(this.user, this);
  }
}
