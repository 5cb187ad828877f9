// How tracks sound: which file is played, how loud, how one leads to the next. Kept in this browser.

const STORAGE_KEY = "segue.sound";
const DEFAULTS = { quality: "auto", gain: "off", crossfade: 0 };

function read() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(STORAGE_KEY)) };
  } catch {
    return { ...DEFAULTS };
  }
}

export const sound = read();

export function setSound(name, value) {
  sound[name] = value;
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(sound));
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

// "small" on mobile data unless somebody has chosen.
export function quality() {
  if (sound.quality !== "auto") return sound.quality;
  const { connection } = navigator;
  return connection?.saveData || connection?.type === "cellular" ? "small" : "original";
}
