// Owns what the browser remembers: JSON in localStorage, and drafts that end with the tab.

export const remembered = (name, otherwise = null) => read(() => localStorage, name, otherwise);
export const remember = (name, value) => write(() => localStorage, name, value);

export const draftOf = (webappId) => read(() => sessionStorage, `draft:${webappId}`, {});
export const keepDraft = (webappId, values) => write(() => sessionStorage, `draft:${webappId}`, values);

// The browser may forbid storage altogether; the page then works without a memory.
function read(storage, name, otherwise) {
  try {
    return JSON.parse(storage().getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function write(storage, name, value) {
  try {
    if (value === null) storage().removeItem(name);
    else storage().setItem(name, JSON.stringify(value));
  } catch {
    // Full or forbidden: nothing to do about it.
  }
}
