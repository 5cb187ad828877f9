// What the server says in English, in the page's language: reasons, names of mixes and clusters. Other texts stay as they are.

import { t } from "./strings.js";

const PLAIN_REASONS = {
  "a place to start": "reason.start",
  "something else, to see whether you like it": "reason.explore",
  "much played here": "reason.popular",
  "further away from what you play": "reason.far",
  "from your collection": "reason.collection",
};
const REASONS_WITH_SEED = {
  "played by who plays ": "reason.listeners",
  "sounds very much like ": "reason.verySimilar",
  "sounds like ": "reason.sound",
  "is a little like ": "reason.aLittle",
};
const SEEDS = [
  [/^(.*), which you like$/s, "seed.liked"],
  [/^(.*), which you finished once$/s, "seed.once"],
  [/^(.*), which you finished twice$/s, "seed.twice"],
  [/^(.*), which you finished (\d+) times$/s, "seed.times"],
  [/^(.*), which you played$/s, "seed.played"],
];

function saySeed(text) {
  for (const [pattern, key] of SEEDS) {
    const found = pattern.exec(text);
    if (found) return t(key, { title: found[1], times: Number(found[2]) });
  }
  return text;
}

// A reason of `jobs.recommender.ranking`, or of similar tracks.
export function sayReason(reason) {
  if (!reason) return "";
  if (reason in PLAIN_REASONS) return t(PLAIN_REASONS[reason]);
  const start = Object.keys(REASONS_WITH_SEED).find((each) => reason.startsWith(each));
  return start ? t(REASONS_WITH_SEED[start], { seed: saySeed(reason.slice(start.length)) }) : reason;
}

const WORDS = ["energetic", "calm", "fast", "slow", "bright", "dark", "acoustic", "ambient", "danceable", "electronic", "experimental",
  "guitar", "happy", "instrumental", "mellow", "sad", "female vocals", "male vocals"];

// A word of `jobs.model.sound_words`.
export const sayWord = (word) => (WORDS.includes(word) ? t(`word.${word}`) : word);

const sayWords = (text) => text.split(", ").map((word) => sayWord(word.toLowerCase())).join(", ");

// "Folk: slow, acoustic", "Slow, acoustic", or "Around Somebody".
export function sayCluster(name) {
  if (name.startsWith("Around ")) return t("mix.around", { name: name.slice("Around ".length) });
  const [, genre, sound, number = ""] = /^(?:(.*): )?(.*?)( \(\d+\))?$/s.exec(name);
  const isSound = sound.toLowerCase().split(", ").every((word) => WORDS.includes(word));
  if (!isSound) return name;
  const words = sayWords(sound);
  return `${genre ? `${genre}: ${words}` : words.replace(/^./u, (letter) => letter.toUpperCase())}${number}`;
}

const MIXES = { "mix-week": "mix.week", "mix-new": "mix.new", "mix-rediscover": "mix.rediscover" };

// A mix with its title and comment.
export function sayMix(mix) {
  const key = MIXES[mix.id.split("@")[0]];
  if (key) return { ...mix, title: t(key), comment: t(`${key}Note`) };
  const names = /^With (.*) and others; new every day\.$/s.exec(mix.comment)?.[1];
  return { ...mix, title: sayCluster(mix.title), comment: names ? t("mix.with", { names }) : mix.comment };
}
