// Owns the results of a task: gallery with full view, players, texts, links; what it cost.

import { byId, el, icon, webAddress } from './dom.js';
import { locale, say, t } from './i18n.js';
import { duration } from './status.js';

const KINDS = {
  image: ['png', 'jpg', 'jpeg', 'webp', 'gif', 'avif', 'bmp', 'svg'],
  video: ['mp4', 'webm', 'mov', 'mkv', 'm4v'],
  audio: ['wav', 'mp3', 'flac', 'ogg', 'm4a', 'aac'],
};
// RunningHub keeps results for about a day.
const LINK_LIFE_MS = 24 * 60 * 60 * 1000;

/** The part of a task's card below its state, as elements. */
export function resultsOf(task) {
  const files = outputsOf(task).filter((item) => webAddress(item.fileUrl));
  const texts = outputsOf(task).filter((item) => typeof item.text === 'string' && item.text);
  if (!files.length && !texts.length) return [el('p', { class: 'quiet-text' }, say('noOutputs'))];
  const images = files.filter((file) => kindOf(file) === 'image');
  const others = files.filter((file) => kindOf(file) !== 'image');
  return [
    images.length && gallery(images),
    ...others.map(player),
    ...texts.map((item) => el('pre', { class: 'text-result', tabindex: '0' }, item.text)),
    files.length && expiryNote(task),
  ].filter(Boolean);
}

/** Time and money, each once: RunningHub repeats them on every file of a task. */
export function costOf(task) {
  const first = (name) =>
    outputsOf(task)
      .map((item) => item[name])
      .find((value) => Number(value) > 0);
  const amount = (key, name) => first(name) && el('li', {}, () => t(key, { n: numberText(first(name)) }));
  const seconds = first('taskCostTime');
  return [
    seconds && el('li', {}, () => t('took', { time: duration(Number(seconds)) })),
    amount('coins', 'consumeCoins'),
    amount('money', 'consumeMoney'),
    amount('thirdPartyMoney', 'thirdPartyConsumeMoney'),
  ].filter(Boolean);
}

/** The first picture's address, for the list of tasks. */
export function thumbnailOf(task) {
  const image = outputsOf(task).find((item) => webAddress(item.fileUrl) && kindOf(item) === 'image');
  return image ? webAddress(image.fileUrl) : null;
}

// The list is RunningHub's, passed on as it came.
const outputsOf = (task) => (task.result_data ?? []).filter((item) => item instanceof Object);
const numberText = (text) =>
  new Intl.NumberFormat(locale(), { maximumFractionDigits: 4 }).format(Number(text));

function kindOf({ fileUrl, fileType }) {
  const ending = String(fileType || new URL(fileUrl).pathname.split('.').pop()).toLowerCase();
  return Object.keys(KINDS).find((kind) => KINDS[kind].includes(ending)) ?? 'file';
}

function gallery(images) {
  const items = images.map((image, index) => {
    const count = { n: index + 1, of: images.length };
    const address = webAddress(image.fileUrl);
    const picture = el('img', { src: address, alt: '', loading: 'lazy', onerror: markGone });
    const view = { type: 'button', class: 'picture', 'aria-label': say('openPicture', count) };
    const link = { ...linkTo(address), class: 'quiet', 'aria-label': say('downloadPicture', count) };
    const button = el('button', { ...view, onclick: () => openViewer(images, index) }, picture);
    return el('li', {}, button, el('a', link, icon('download'), say('download')));
  });
  return el('ul', { class: images.length === 1 ? 'gallery single' : 'gallery' }, ...items);
}

function markGone(event) {
  event.target.replaceWith(el('span', { class: 'gone' }, icon('image'), say('gone')));
}

function player(file) {
  const kind = kindOf(file);
  const address = webAddress(file.fileUrl);
  const name = new URL(address).pathname.split('/').pop();
  const isPlayed = kind !== 'file';
  const media =
    isPlayed && el(kind, { src: address, controls: true, preload: 'metadata', 'aria-label': name });
  const label = el('span', { class: 'file-name' }, name);
  const link = el('a', linkTo(address), icon(isPlayed ? 'download' : 'file'), label);
  return el('div', { class: 'result-file' }, media, link);
}

const linkTo = (address) => ({ href: address, target: '_blank', rel: 'noreferrer', download: true });

function expiryNote(task) {
  const isOver = Date.now() - Date.parse(task.updated_at) > LINK_LIFE_MS;
  return el('p', { class: 'note' }, icon('clock'), say(isOver ? 'linksOver' : 'linksEnd'));
}

/** Full view: arrow keys go on, Escape closes (the dialog's own), focus returns to the picture. */
function openViewer(images, start) {
  const dialog = byId('viewer');
  let index = start;
  const show = (next) => {
    index = (next + images.length) % images.length;
    const address = webAddress(images[index].fileUrl);
    const alt = say('picture', { n: index + 1, of: images.length });
    byId('viewer-picture').replaceChildren(el('img', { src: address, alt }));
    byId('viewer-place').replaceChildren(el('span', {}, alt));
    byId('viewer-download').href = address;
  };
  byId('viewer-back').onclick = () => show(index - 1);
  byId('viewer-on').onclick = () => show(index + 1);
  dialog.onkeydown = ({ key }) => {
    if (key === 'ArrowLeft') show(index - 1);
    if (key === 'ArrowRight') show(index + 1);
  };
  for (const id of ['viewer-back', 'viewer-on']) byId(id).hidden = images.length === 1;
  show(start);
  dialog.showModal();
}

/** The viewer's close button, and a click beside the picture. */
export function installViewer() {
  const dialog = byId('viewer');
  byId('viewer-close').addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
}
