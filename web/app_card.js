// Owns the head of an opened app: cover, title, description, tags and how much it is used.

import { byId, el, webAddress } from './dom.js';
import { locale, pick, say, t } from './i18n.js';

const LONG_DESCRIPTION = 140;
const COUNTS = ['useCount', 'likeCount', 'collectCount', 'downloadCount'];

export function showApp(app) {
  byId('app-title').textContent = app.webappName;
  byId('app-cover').replaceChildren(...[coverOf(app)].filter(Boolean));
  byId('app-about').replaceChildren(...about(app));
  byId('app').hidden = false;
}

function coverOf({ covers }) {
  const address = webAddress(covers[0]?.thumbnailUri || covers[0]?.url);
  if (!address) return null;
  const drop = (event) => event.target.remove();
  if (/\.(mp4|webm|mov)(\?|$)/i.test(address)) {
    return el('video', {
      src: address,
      muted: true,
      playsinline: true,
      preload: 'metadata',
      'aria-hidden': 'true',
      onerror: drop,
    });
  }
  return el('img', { src: address, alt: '', onerror: drop });
}

function about(app) {
  const text = () => pick(app.description, app.descriptionEn);
  const tags = app.tags.map((tag) => el('li', { class: 'tag' }, () => pick(tag.name, tag.nameEn)));
  const counts = COUNTS.filter((name) => app.statisticsInfo[name] > 0).map((name) =>
    el('li', {}, () => count(name, app.statisticsInfo[name])),
  );
  return [
    text() && description(text),
    el(
      'ul',
      { class: 'tags', 'aria-label': say('tags') },
      ...tags,
      el('li', { class: 'app-id' }, `ID ${app.webappId}`),
    ),
    counts.length && el('ul', { class: 'counts', 'aria-label': say('usage') }, ...counts),
  ].filter(Boolean);
}

const count = (name, number) =>
  t(name, { n: new Intl.NumberFormat(locale(), { notation: 'compact' }).format(number) });

function description(text) {
  const paragraph = el('p', { class: 'description' }, text);
  if (text().length <= LONG_DESCRIPTION) return paragraph;
  paragraph.classList.add('clamped');
  const toggle = el(
    'button',
    { type: 'button', class: 'quiet', 'aria-expanded': 'false', onclick: unfold },
    say('showAll'),
  );
  function unfold() {
    const isClamped = paragraph.classList.toggle('clamped');
    toggle.setAttribute('aria-expanded', String(!isClamped));
  }
  return el('div', {}, paragraph, toggle);
}
