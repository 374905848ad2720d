// Owns the page's language: a signal, so that whatever shows a text follows when it is switched.

import { remember, remembered } from '../service/storage.js';
import { effect, signal } from './html.js';
import { texts } from './texts.js';

const browserLanguage = () => (navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en');

export const language = signal(remembered('language') ?? browserLanguage());
export const locale = () => (language.value === 'zh' ? 'zh-CN' : 'en');

export function switchLanguage() {
  language.value = language.value === 'zh' ? 'en' : 'zh';
  remember('language', language.value);
}

/** The text of texts.js in the page's language, its {names} filled in; of "one|many" the one that fits `n`. */
export function t(key, values = {}) {
  const [chinese, english] = texts[key] ?? [key, key];
  const [one, many = one] = (language.value === 'zh' ? chinese : english).split('|');
  const text = String(values.n) === '1' ? one : many;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The texts of a part of the page that arrives later. */
export const addTexts = (more) => Object.assign(texts, more);

export const hasText = (key) => key in texts;

/** The one of two that fits the page's language, or the other where it is missing. */
export function pick(chinese, english) {
  return (language.value === 'zh' ? chinese || english : english || chinese) ?? '';
}

effect(() => {
  document.documentElement.lang = locale();
});
