// Owns style sheets that only a later part of the screen needs: they arrive together with its modules.

/** Resolves once all are there, or cannot be had: the part is shown in any case. */
export const loadStyles = (...addresses) => Promise.all(addresses.map(loadStyle));

const loading = new Map();

function loadStyle(href) {
  if (!loading.has(href)) loading.set(href, new Promise((resolve) => appendStyle(href, resolve)));
  return loading.get(href);
}

function appendStyle(href, onDone) {
  const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href });
  link.addEventListener('load', onDone);
  link.addEventListener('error', onDone);
  document.head.append(link);
}
