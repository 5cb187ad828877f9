// The page's texts in the language of the browser, or the one chosen in the settings. Each language has a module in strings/.

import en from "./strings/en.js";

export const LANGUAGES = { en: "English", de: "Deutsch" };
const STORAGE_KEY = "segue.language";

// "auto", or a language of LANGUAGES.
export function chosenLanguage() {
  try {
    const chosen = localStorage.getItem(STORAGE_KEY);
    return chosen in LANGUAGES ? chosen : "auto";
  } catch {
    return "auto"; // without storage the browser's language counts
  }
}

export function setLanguage(name) {
  try {
    if (name === "auto") localStorage.removeItem(STORAGE_KEY);
    else localStorage.setItem(STORAGE_KEY, name);
  } catch {
    // Without storage there is no choice.
  }
  location.reload();
}

const ofBrowser = () => (navigator.languages ?? []).map((tag) => tag.slice(0, 2)).find((name) => name in LANGUAGES) ?? "en";
export const language = chosenLanguage() === "auto" ? ofBrowser() : chosenLanguage();
const texts = language === "en" ? en : (await import(`./strings/${language}.js`)).default;
const plurals = new Intl.PluralRules(language);

export const formatNumber = (value) => value.toLocaleString(language);

// The text of a key. `{name}` in it is replaced by a value; a text that has plural forms is chosen by `count`.
export function t(key, values = {}) {
  const found = texts[key];
  const text = typeof found === "object" ? found[plurals.select(values.count)] ?? found.other : found;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? formatNumber(values[name]) : values[name]));
}

// Translate the texts of a document: `data-text` names the key of an element's text, `data-label` and `data-placeholder` of attributes.
export function translate(root) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  for (const element of root.querySelectorAll("[data-placeholder]")) element.placeholder = t(element.dataset.placeholder);
}
