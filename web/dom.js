// Owns the making of elements. Data becomes text, never HTML.

import { localise } from './i18n.js';
import { icons } from './icons.js';

/**
 * An element with attributes, listeners (`onclick`) and children. A function is a text that follows
 * the page's language; null, undefined and false are left out.
 */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) setAttribute(element, key, value);
  const shown = children.filter(isThere);
  if (shown.length === 1 && typeof shown[0] === 'function') localise(element, shown[0]);
  else element.append(...shown.map(asNode));
  return element;
}

const isThere = (value) => value !== null && value !== undefined && value !== false;

function setAttribute(element, key, value) {
  if (!isThere(value)) return;
  if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
  else if (typeof value === 'function') localise(element, value, key);
  else element.setAttribute(key, value === true ? '' : value);
}

function asNode(child) {
  if (typeof child !== 'function') return child;
  const span = document.createElement('span');
  localise(span, child);
  return span;
}

/** One of icons.js, hidden from screen readers: the text beside it says what it means. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', icons[name]);
  svg.append(path);
  return svg;
}

export const byId = (id) => document.getElementById(id);

let lastId = 0;
export const newId = (prefix) => `${prefix}-${++lastId}`;

/** The address if a browser may open it; results and covers come from elsewhere and could say `javascript:`. */
export function webAddress(text) {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  return ['http:', 'https:'].includes(url.protocol) ? url.href : null;
}

/** Tells a screen reader; nothing is seen. */
export function announce(text) {
  byId('announcer').textContent = text;
}
