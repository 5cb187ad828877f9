// Two audio elements in turn: while one plays, the other loads the next track, and starts just before the first one ends.

const FADE_STEP_MS = 40;
const START_LATENCY_S = 0.03; // from play() to the first sound, until it has been measured
const MAX_LATENCY_S = 0.25;

export class Deck {
  #volume = 1; // 0 to 1, what the listener hears
  #fade = 0; // timer of a crossfade
  #handOverTimer = 0;
  #latency = START_LATENCY_S;

  // handlers: change, tick, playing, ended, failed, each called for the present element only
  constructor(handlers) {
    this.handlers = handlers;
    this.audios = [this.#create(), this.#create()];
    this.gains = new WeakMap(); // factor of each element, by ReplayGain
  }

  get audio() { return this.audios[0]; }
  get isPlaying() { return !this.audio.paused && !this.audio.ended && !this.audio.error; }
  get isFading() { return this.#fade !== 0; }

  #create() {
    const audio = new Audio();
    audio.preload = "auto";
    const on = (type, handler) => audio.addEventListener(type, (event) => audio === this.audio && handler(event));
    for (const type of ["play", "pause"]) on(type, () => this.handlers.change());
    for (const type of ["timeupdate", "durationchange"]) on(type, () => this.handlers.tick());
    on("playing", () => this.handlers.playing());
    on("ended", () => this.handlers.ended());
    on("error", () => this.handlers.failed());
    return audio;
  }

  preload(url) {
    const [, next] = this.audios;
    const isEnding = !next.paused && !next.ended; // the track of before, beside the present one
    if (this.isFading || isEnding || next.src === url) return;
    next.src = url;
    next.load();
  }

  isLoaded(url) { return this.audios[1].src === url && this.audios[1].readyState >= HTMLMediaElement.HAVE_FUTURE_DATA; }

  // Make a file the present one; return the promise of play(), or null if it does not play.
  start(url, { gain = 1, position = 0, play = true } = {}) {
    this.#endFade();
    this.cancelHandOver();
    if (this.audios[1].src === url) this.audios.reverse();
    this.audios[1].pause();
    this.gains.set(this.audio, gain);
    if (this.audio.src !== url || this.audio.error) this.audio.src = url;
    this.audio.currentTime = position;
    this.#apply();
    return play ? this.audio.play() : null;
  }

  pause() {
    this.cancelHandOver();
    this.#endFade();
    this.audio.pause();
  }

  // Call a function when the loaded element has to start for the tracks to meet, `overlap` seconds before the end.
  planHandOver(secondsLeft, overlap, action) {
    if (this.#handOverTimer) return;
    const wait = Math.max(0, secondsLeft - Math.max(overlap, this.#latency));
    this.#handOverTimer = setTimeout(() => {
      this.#handOverTimer = 0;
      action();
    }, wait * 1000);
  }

  cancelHandOver() {
    clearTimeout(this.#handOverTimer);
    this.#handOverTimer = 0;
  }

  // Start the loaded element; the present one plays to its end beside it, and fades out in `overlap` seconds if that is not 0.
  handOver({ gain = 1, overlap = 0 }) {
    this.audios.reverse();
    const [next, last] = this.audios;
    this.gains.set(next, gain);
    next.currentTime = 0;
    const asked = performance.now();
    next.addEventListener("playing", () => {
      const measured = Math.min(MAX_LATENCY_S, (performance.now() - asked) / 1000);
      this.#latency += (measured - this.#latency) / 2;
    }, { once: true });
    if (overlap) this.#crossfade(next, last, overlap);
    else this.#apply();
    return next.play();
  }

  #crossfade(next, last, overlap) {
    const started = performance.now();
    const step = () => {
      const part = Math.min(1, (performance.now() - started) / 1000 / overlap);
      // Sine and cosine keep the power of two different sounds the same.
      next.volume = this.#volumeOf(next) * Math.sin((part * Math.PI) / 2);
      last.volume = this.#volumeOf(last) * Math.cos((part * Math.PI) / 2);
      if (part === 1) this.#endFade();
    };
    this.#endFade();
    this.#fade = setInterval(step, FADE_STEP_MS);
    step();
  }

  #endFade() {
    if (!this.#fade) return;
    clearInterval(this.#fade);
    this.#fade = 0;
    this.audios[1].pause();
    this.#apply();
  }

  #volumeOf(audio) { return Math.min(1, this.#volume * (this.gains.get(audio) ?? 1)); }

  setVolume(volume) {
    this.#volume = volume;
    if (!this.isFading) this.#apply();
  }

  setGain(gain) {
    this.gains.set(this.audio, gain);
    if (!this.isFading) this.#apply();
  }

  #apply() {
    for (const audio of this.audios) audio.volume = this.#volumeOf(audio);
  }
}
