// Owns the page's language: which one it is, and texts that follow when it is switched.

import { texts } from './texts.js';
import { remember, remembered } from './storage.js';

const updates = new WeakMap();
const MARK = 'data-localised';
let language = remembered('language') ?? browserLanguage();

function browserLanguage() {
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

export const currentLanguage = () => language;
export const locale = () => (language === 'zh' ? 'zh-CN' : 'en');

/** The text of texts.js in the page's language, its {names} filled in. */
export function t(key, values = {}) {
  const [chinese, english] = texts[key] ?? [key, key];
  const text = language === 'zh' ? chinese : english;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The same as a text that follows the language: for `el` and `localise`. */
export const say = (key, values) => () => t(key, values);

/** The one of two that fits the page's language, or the other where it is missing. */
export function pick(chinese, english) {
  return (language === 'zh' ? chinese || english : english || chinese) ?? '';
}

/** Sets an element's text, or an attribute, to `text()`: now, and whenever the language changes. */
export function localise(element, text, attribute = null) {
  const update = () => (attribute ? element.setAttribute(attribute, text()) : (element.textContent = text()));
  updates.set(element, new Map(updates.get(element)).set(attribute, update));
  element.setAttribute(MARK, '');
  update();
}

/** Localises what index.html marks: data-text="key", data-label="key" (aria-label), data-hint="key" (placeholder). */
export function localisePage() {
  document.documentElement.lang = locale();
  const attributes = { text: null, label: 'aria-label', hint: 'placeholder' };
  for (const [name, attribute] of Object.entries(attributes)) {
    for (const element of document.querySelectorAll(`[data-${name}]`)) {
      localise(element, say(element.dataset[name]), attribute);
    }
  }
}

export function setLanguage(next) {
  language = next;
  remember('language', next);
  document.documentElement.lang = locale();
  for (const element of document.querySelectorAll(`[${MARK}]`)) {
    for (const update of updates.get(element).values()) update();
  }
}
