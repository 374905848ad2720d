// Owns what the browser remembers: JSON in localStorage for all tabs, in sessionStorage for one.

export const remembered = (name, otherwise = null) => read(() => localStorage, name, otherwise);
export const remember = (name, value) => write(() => localStorage, name, value);
export const rememberedInTab = (name, otherwise = null) => read(() => sessionStorage, name, otherwise);
export const rememberInTab = (name, value) => write(() => sessionStorage, name, value);

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
